"""What can be asked about a Dockerfile without building it: `--check`, `--call=outline`, `--call=targets`.

    answer(name, text, ...) -> {"result.json": ..., "result.txt": ..., "result.statuscode": .., "version": ..}

The documents are those of BuildKit (frontend/subrequests), which its clients print. Images are not pulled for
an answer: what a base that is not here would say is left out.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from onggi.builder.dockerfile import typed
from onggi.builder.dockerfile.checks import Checks
from onggi.builder.dockerfile.errors import DockerfileError, excerpt
from onggi.builder.graph import Exec, Plan, Secret, Ssh
from onggi.builder.instructions import Arg, Dockerfile, Location, Source, Stage
from onggi.builder.options import Options
from onggi.builder.plan import planner
from onggi.builder.plan.bases import Base
from onggi.errors import NotFound, NotImplemented_, OnggiError
from onggi.spec.image import Image
from onggi.spec.platform import Platform, host

if TYPE_CHECKING:
    from onggi.builder.plan.bases import Bases

VERSION = "1.0.0"
NAMES = ("frontend.lint", "frontend.outline", "frontend.targets", "frontend.subrequests.describe")
DESCRIPTIONS = {
    "frontend.lint": "Lint a Dockerfile",
    "frontend.outline": "List all parameters current build target supports",
    "frontend.targets": "List all targets current build supports",
    "frontend.subrequests.describe": "List available subrequest types",
}


async def answer(name: str, text: bytes, options: Options, bases: Bases) -> dict[str, str]:
    """Raises NotImplemented_ for a question that is not known, DockerfileError."""
    if name not in NAMES:
        raise NotImplemented_(f"unsupported subrequest {name}: this engine answers {', '.join(NAMES)}")
    if name == "frontend.lint":
        return await lint(text, options, bases)
    if name == "frontend.subrequests.describe":
        return _result(*_described())
    checks = Checks()
    dockerfile = typed.read(text, name=options.filename, checks=checks)
    if name == "frontend.targets":
        return _result(*_targets(dockerfile, options))
    platform = options.platforms[0] if options.platforms else host()
    plan = await planner.plan(dockerfile, options, platform, Here(bases), checks=checks)
    return _result(*_outline(dockerfile, options, plan))


class Here:
    """Images that are here; of one that is not, an empty one stands for it."""

    def __init__(self, bases: Bases) -> None:
        self._bases = bases

    async def image(self, reference: str, platform: Platform, resolve: str) -> Base:
        try:
            return await self._bases.image(reference, platform, "local")
        except NotFound:
            image = Image(
                os=platform.os, architecture=platform.architecture, variant=platform.variant or None
            )
            return Base(reference=reference, image=image)

    async def oci_layout(self, store: str, reference: str, platform: Platform) -> Base:
        return await self._bases.oci_layout(store, reference, platform)


def _result(document: object, text: str) -> dict[str, str]:
    return {"result.json": _json(document), "result.txt": text, "version": VERSION}


def _json(document: object) -> str:
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def _location(location: Location, *, source: bool = False) -> dict[str, Any]:
    """Lines from 1, as BuildKit's positions; index 0 is left out, as Go leaves it out."""
    end = max(location.start, location.end)
    found: dict[str, Any] = {"ranges": [{"start": {"line": location.start}, "end": {"line": end}}]}
    return {"sourceIndex": location.source, **found} if source and location.source else found


# -- checks


async def lint(text: bytes, options: Options, bases: Bases) -> dict[str, str]:
    """Every stage is looked at. A Dockerfile that cannot be built is an answer, too."""
    checks = Checks()
    sources: tuple[Source, ...] = (Source(options.filename, text),)
    failed: DockerfileError | OnggiError | None = None
    try:
        dockerfile = typed.read(text, name=options.filename, checks=checks)
        sources = dockerfile.sources
        checked = msgspec.structs.replace(options, check_only=True)
        platform = options.platforms[0] if options.platforms else host()
        await planner.plan(dockerfile, checked, platform, Here(bases), checks=checks, every_stage=True)
    except OnggiError as error:
        if not (checks.config.error and checks.found and "lint violation" in error.message):
            failed = error
    found = sorted(checks.found, key=lambda one: (one.location.source, one.location.start))
    document: dict[str, Any] = {
        "warnings": [
            {
                "ruleName": one.rule, "description": one.description, "url": one.url, "detail": one.detail,
                "location": _location(one.location, source=True),
            }
            for one in found
        ],
        "sources": [
            {"filename": one.name, "language": "Dockerfile", "data": base64.b64encode(one.text).decode()}
            for one in sources
        ],
    }  # fmt: skip
    if failed is not None:
        where = failed.location if isinstance(failed, DockerfileError) else Location(1, 1)
        document["buildError"] = {"message": failed.message, "location": _location(where, source=True)}
    parts = [
        f"\nWARNING: {one.rule}{' - ' + one.url if one.url else ''}\n{one.detail}\n"
        f"\n{excerpt(sources[one.location.source], one.location)}\n"
        for one in found
    ]
    answer = _result(document, "".join(parts))
    return answer | {"result.statuscode": str(int(bool(found or failed)))}


# -- outline and targets


def _outline(dockerfile: Dockerfile, options: Options, plan: Plan) -> tuple[dict[str, Any], str]:
    names = {step.stage for step in plan.steps}
    stages = [one for number, one in enumerate(dockerfile.stages) if (one.name or str(number)) in names]
    target = next((one for one in stages if one.name == options.target.lower()), stages[-1])
    args: dict[str, dict[str, Any]] = {}
    used = " ".join(one.base + one.platform for one in stages)
    wanted = [one for one in dockerfile.globals if any(name in used for name, _ in one.args)]
    inner = [one for stage in stages for one in stage.instructions if isinstance(one, Arg)]
    for instruction in (*wanted, *inner):
        for name, default in instruction.args:
            known = {"name": name, **_described_as(name, instruction.comments)}
            value = options.build_args.get(name, default or "")
            args.setdefault(
                name,
                {**known, **({"value": value} if value else {}), "location": _location(instruction.location)},
            )
    secrets, agents = _mounts(plan)
    document: dict[str, Any] = {"name": target.name, **_described_as(target.name, target.comments)}
    document |= {
        key: value
        for key, value in (("args", list(args.values())), ("secrets", secrets), ("ssh", agents))
        if value
    }
    if not target.name:
        del document["name"]
    document["sources"] = [base64.b64encode(one.text).decode() for one in dockerfile.sources]
    return document, _outline_text(document)


def _mounts(plan: Plan) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    secrets: dict[str, dict[str, Any]] = {}
    agents: dict[str, dict[str, Any]] = {}
    for vertex in plan.graph:
        if not isinstance(vertex.op, Exec) or not vertex.meta.locations:
            continue
        where = _location(vertex.meta.locations[0])
        asked = [(secrets, one.id, one.optional) for one in vertex.op.secret_env]
        for mount in vertex.op.mounts:
            if isinstance(mount, Secret | Ssh):
                asked.append((secrets if isinstance(mount, Secret) else agents, mount.id, mount.optional))
        for kind, id, optional in asked:
            kind.setdefault(id, {"name": id, **({} if optional else {"required": True}), "location": where})
    return list(secrets.values()), list(agents.values())


def _described_as(name: str, comments: tuple[str, ...]) -> dict[str, str]:
    """`# NAME what it is for`, right above."""
    for comment in comments:
        said, _, rest = comment.strip().partition(" ")
        if name and said == name and rest.strip():
            return {"description": rest.strip()}
    return {}


def _outline_text(document: dict[str, Any]) -> str:
    parts = []
    if document.get("name") or document.get("description"):
        lines = [("TARGET:", document.get("name") or "(default)")]
        lines += [("DESCRIPTION:", document["description"])] if document.get("description") else []
        parts.append(_table(lines, 1))
    if args := document.get("args"):
        rows = [(one["name"], one.get("value", ""), one.get("description", "")) for one in args]
        parts.append(_table([("BUILD ARG", "VALUE", "DESCRIPTION"), *rows], 3))
    for title, key in (("SECRET", "secrets"), ("SSH", "ssh")):
        if found := document.get(key):
            rows2 = [(one["name"], "true" if one.get("required") else "") for one in found]
            parts.append(_table([(title, "REQUIRED"), *rows2], 3))
    return "\n".join(parts) + "\n" if parts else ""


def _table(rows: Sequence[tuple[str, ...]], gap: int) -> str:
    widths = [max(len(row[place]) for row in rows) + gap for place in range(len(rows[0]) - 1)]
    return "".join(
        "".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)) + "\n"
        for row in rows
    )


def _targets(dockerfile: Dockerfile, options: Options) -> tuple[dict[str, Any], str]:
    last = dockerfile.stages[-1]
    targets = [_target(one, default=one is last) for one in dockerfile.stages]
    rows = [("TARGET", "DESCRIPTION")]
    for one in targets:
        name = one.get("name", "")
        shown = f"{name} (default)".strip() if one.get("default") else name
        rows.append((shown, one.get("description", "")))
    sources = [base64.b64encode(one.text).decode() for one in dockerfile.sources]
    return {"targets": targets, "sources": sources}, _table(rows, 1)


def _target(stage: Stage, *, default: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"name": stage.name} if stage.name else {}
    found |= {"default": True} if default else {}
    found |= _described_as(stage.name, stage.comments)
    found |= {"base": stage.base} if stage.base else {}
    found |= {"platform": stage.platform} if stage.platform else {}
    return found | {"location": _location(stage.location)}


def _described() -> tuple[object, str]:
    listed = [
        {"name": name, "version": VERSION, "type": "rpc", "description": said, "opts": None,
         "metadata": [{"Name": "result.json", "Description": ""}, {"Name": "result.txt", "Description": ""}]}
        for name, said in DESCRIPTIONS.items()
    ]  # fmt: skip
    rows = [
        ("NAME", "VERSION", "DESCRIPTION"),
        *((name, VERSION, said) for name, said in DESCRIPTIONS.items()),
    ]
    return listed, _table(rows, 3)
