"""Planning in tests: a verified fake of `Bases` (the shape of real images, in memory) and one call."""

from __future__ import annotations

import hashlib

from onggi.builder.dockerfile import typed
from onggi.builder.dockerfile.checks import Checks
from onggi.builder.graph import Plan
from onggi.builder.options import Options
from onggi.builder.plan.bases import Base
from onggi.builder.plan.planner import plan as plan_
from onggi.errors import NotFound
from onggi.spec.image import Config, History, Image, RootFS
from onggi.spec.platform import Platform

LINUX = Platform("linux", "amd64")


def image(config: Config | None = None, **fields: object) -> Image:
    return Image(
        architecture="amd64",
        os="linux",
        config=config or Config(env=["PATH=/bin"], cmd=["sh"]),
        rootfs=RootFS(diff_ids=["sha256:" + "1" * 64]),
        history=[History(created_by="base")],
        **fields,  # type: ignore[arg-type]
    )


class Images:
    """Knows every image unless it is named `missing`; `known` gives some a configuration of their own."""

    def __init__(self, **known: Image) -> None:
        self.known = {f"docker.io/library/{name}:latest": one for name, one in known.items()}
        self.asked: list[str] = []

    async def image(self, reference: str, platform: Platform, resolve: str) -> Base:
        self.asked.append(reference)
        if "missing" in reference:
            raise NotFound(f"{reference}: not found")
        digest = hashlib.sha256(f"{reference} {platform}".encode()).hexdigest()
        return Base(reference=f"{reference}@sha256:{digest}", image=self.known.get(reference) or image())

    async def oci_layout(self, store: str, reference: str, platform: Platform) -> Base:
        return Base(reference=reference, image=image())


async def plan(text: str | bytes, options: Options | None = None, bases: Images | None = None) -> Plan:
    data = text.encode() if isinstance(text, str) else text
    checks = Checks()
    read = typed.read(data, checks=checks)
    return await plan_(
        read, options or Options(build_platform=LINUX), LINUX, bases or Images(), checks=checks
    )
