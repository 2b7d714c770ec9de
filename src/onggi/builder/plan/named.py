"""Where a stage's tree comes from: nothing, an image, or a tree that the client gave that name.

FROM scratch | FROM image | --build-context image=... , --build-context stage=...
"""

from __future__ import annotations

import msgspec

from onggi.builder.dockerfile import gitrefs
from onggi.builder.dockerfile.checks import Checks
from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.dockerfile.suggest import hint
from onggi.builder.graph import HttpSource, ImageSource, LocalSource, Meta, OciLayoutSource
from onggi.builder.options import NamedContext
from onggi.builder.plan.bases import Base, Bases
from onggi.builder.plan.context import Building
from onggi.builder.plan.copying import git_source
from onggi.builder.plan.drafts import Draft, Known, LocalDraft
from onggi.builder.plan.stage import StageDraft, empty_image, platform_of
from onggi.builder.plan.stages import SCRATCH, Stages
from onggi.errors import InvalidParameter, NotFound
from onggi.spec import reference as references
from onggi.spec.image import Image
from onggi.spec.platform import Platform

COMMON = ("alpine", "busybox", "centos", "debian", "golang", "ubuntu", "fedora")


async def resolve(building: Building, stage: StageDraft, bases: Bases, stages: Stages) -> None:
    """Find a stage's tree and image. Raises DockerfileError, with the registry's reason for an image."""
    stage.resolved = True
    platform = stage.platform or building.platform
    named = _named(building, stage.name, platform) if stage.name else None
    replaced = named is not None
    named = named or (None if stage.base_name == SCRATCH else _named(building, stage.base_name, platform))
    try:
        if named is not None:
            await _from_context(building, stage, named, bases, platform)
        elif stage.base_name == SCRATCH:
            stage.platform, stage.image = platform, empty_image(platform)
        else:
            await _from_image(building, stage, stage.base_name, bases, platform)
    except NotFound as error:
        names = [one.label for one in stages.all if one.label]
        tail = hint(stage.base_name, (*names, *COMMON))
        raise DockerfileError(f"{stage.base_name}: {error.message}{tail}", stage.location) from None
    except InvalidParameter as error:
        if isinstance(error, DockerfileError):
            raise
        message = f'failed to parse stage name "{stage.base_name}": {error.message}'
        raise DockerfileError(message, stage.location) from None
    if stage.source is None or replaced:
        stage.planned = True


def _named(building: Building, name: str, platform: Platform) -> NamedContext | None:
    """The client's tree of that name; `debian` is also docker.io/library/debian:latest, and may be for one
    platform only.
    """
    contexts = building.options.contexts
    if not contexts or name in (SCRATCH, "context"):
        return None
    try:
        familiar = references.parse(name).familiar.removesuffix(":latest")
    except InvalidParameter:
        return None
    for spelled in (f"{familiar}::{platform}", familiar, name):
        if spelled in contexts:
            return contexts[spelled]
    return None


async def _from_image(
    building: Building, stage: StageDraft, name: str, bases: Bases, platform: Platform
) -> None:
    reference = str(references.parse(name).tagged())
    base = await bases.image(reference, platform, building.options.resolve)
    _take(building, stage, base, platform)
    if stage.source is not None:
        checks = building.checks.under(stage.source.comments)
        _check_platform(stage, name, platform, base.image, checks)
    if base.image.rootfs.diff_ids:
        text = stage.shown(f"FROM {base.reference}")
        source = ImageSource(reference=base.reference, resolve=building.options.resolve)
        meta = Meta(
            name=text,
            stage=stage.label,
            number=stage.count,
            total=stage.total,
            locations=(stage.location,),
        )
        stage.draft(Draft(source, (), stage.platform or platform, meta))


def _take(building: Building, stage: StageDraft, base: Base, platform: Platform) -> None:
    """An image's configuration and platform. Without --platform anywhere, the base's own platform it is."""
    implicit = stage.platform is None and not building.options.platforms
    stage.platform = platform_of(base.image, platform) if implicit else platform
    stage.base_image, stage.base_reference = base.image, base.reference
    stage.image = msgspec.structs.replace(base.image, created=None)


def _check_platform(stage: StageDraft, name: str, wanted: Platform, image: Image, checks: Checks) -> None:
    actual = platform_of(image, wanted)
    expected = stage.platform or wanted
    if (actual.os, actual.architecture) != (expected.os, expected.architecture):
        detail = (
            f'Base image {name} was pulled with platform "{actual}", expected "{expected}" for current build'
        )
        checks.report("InvalidBaseImagePlatform", stage.location, detail)


async def _from_context(
    building: Building, stage: StageDraft, named: NamedContext, bases: Bases, platform: Platform
) -> None:
    stage.platform = platform
    stage.image = empty_image(platform)
    label = f"[context {stage.name or stage.base_name}]"
    if named.input is not None or not named.value:
        if named.image is not None:
            stage.base_image = named.image
            stage.image = msgspec.structs.replace(named.image, created=None)
        if named.input is not None and named.graph is not None:
            stage.out = Known(named.graph, named.input)
        return
    kind, _, rest = named.value.partition(":")
    if kind == "docker-image":
        await _from_image(building, stage, rest.removeprefix("//"), bases, platform)
    elif kind == "oci-layout":
        await _from_layout(building, stage, rest.removeprefix("//"), bases, platform, label)
    elif kind == "local":
        _from_local(building, stage, rest, named, label)
    else:
        _from_address(building, stage, named.value, label)


async def _from_layout(
    building: Building, stage: StageDraft, text: str, bases: Bases, platform: Platform, label: str
) -> None:
    store, at, digest = text.partition("@")
    if not at:
        raise InvalidParameter(f"oci-layout reference {text!r} must have digest")
    base = await bases.oci_layout(store, text, platform)
    _take(building, stage, base, platform)
    source = OciLayoutSource(reference=f"{store}@{digest}", store=store)
    stage.draft(Draft(source, (), platform, Meta(name=f"{label} OCI load from client")))


def _from_local(building: Building, stage: StageDraft, name: str, named: NamedContext, label: str) -> None:
    source = LocalSource(
        name=name, excludes=named.excludes, shared_key=f"context:{name}-{building.options.shared_key}"
    )
    meta = Meta(name=f"{label} load from client")
    stage.local = LocalDraft(source, building.options.build_platform, meta)
    stage.out = stage.local.out()


def _from_address(building: Building, stage: StageDraft, address: str, label: str) -> None:
    git = gitrefs.parse(address, context=True)
    platform = building.options.build_platform
    if git is not None:
        source = git_source(git, keep_git_dir=bool(git.keep_git_dir))
        stage.draft(Draft(source, (), platform, Meta(name=f"{label} load git source {address}")))
    elif address.startswith(("http://", "https://")):
        http = HttpSource(url=address, filename="context")
        stage.draft(Draft(http, (), platform, Meta(name=f"{label} load from {address}")))
    else:
        raise InvalidParameter(
            f"unsupported context source {address.partition(':')[0]} for {stage.base_name}"
        )
