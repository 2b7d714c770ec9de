"""Make an image out of a container's present state."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints
from onggi.engine import run_paths
from onggi.engine.containers import init_layer
from onggi.engine.images.dropping import drop_packed
from onggi.engine.status import Status
from onggi.errors import Conflict
from onggi.images.commit import commit as commit_image
from onggi.kernel import files
from onggi.spec import image as documents
from onggi.spec import reference
from onggi.wire.containers import ContainerConfig

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord


async def commit(
    engine: Engine,
    name: str,
    *,
    repository: str = "",
    tag: str = "",
    author: str = "",
    message: str = "",
    changes: list[str] | None = None,
    pause: bool = True,
    config: ContainerConfig | None = None,
) -> str:
    """The id of the new image. `pause` freezes a running container while its layer is read.

    `config` goes before the container's own; `changes` are Dockerfile instructions over both. Commit point:
    the image's row (images/commit.py). Failpoint: commit.frozen.
    Raises NoSuchContainer, NoSuchImage (what the container stands on was removed), InvalidParameter,
    Conflict.
    """
    named = str(reference.parse(f"{repository}:{tag}" if tag else repository).tagged()) if repository else ""
    async with engine.containers.locked(name) as container:
        if container.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f"You cannot commit container {container.id} which is {container.status}")
        record = container.record
        frozen = pause and container.status is Status.RUNNING and engine.cgroups.mode != "none"
        if frozen:
            frozen = await engine.offload(run_paths.freeze, engine, record)
            failpoints.hit("commit.frozen")
        try:
            if container.running and engine.snapshots.served:
                await engine.offload(_flush, record)
            over = await engine.offload(init_layer.present, engine, record)
            image_id = await engine.offload(
                commit_image,
                engine.images,
                record.snapshot,
                parent_id=record.image_id,
                config=merged(config, record.config),
                container_id=record.id,
                name=named,
                author=author,
                message=message,
                created_by=_created_by(record),
                changes=changes,
                over=over,
            )
        finally:
            if frozen:
                await engine.offload(run_paths.thaw, engine, record)
    await engine.offload(drop_packed, engine, [image_id])
    engine.events.container("commit", record, comment=message, imageID=image_id, imageRef=named)
    return image_id


def _flush(record: ContainerRecord) -> None:
    """What was written through a mapping of memory is the kernel's until then: not of a program's mount."""
    try:
        root_fd = os.open(f"/proc/{record.root_pid or record.pid}/root", os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, ProcessLookupError):
        return  # it has just ended, and its mappings with it
    try:
        files.syncfs(root_fd)
    finally:
        os.close(root_fd)


def _created_by(record: ContainerRecord) -> str:
    return " ".join([*(record.config.entrypoint or ()), *(record.config.cmd or ())])


def merged(given: ContainerConfig | None, own: ContainerConfig) -> documents.Config:
    """What the request says, and from the container what it leaves open; Docker's rule (runconfig.Merge).

    Ports, labels, volumes and variables are joined one by one; a given entrypoint drops the container's
    command.
    """
    below = _config(own)
    if given is None:
        return below
    over = _config(given)
    names = {text.partition("=")[0] for text in over.env or ()}
    env = [*(over.env or ()), *(text for text in below.env or () if text.partition("=")[0] not in names)]
    return msgspec.structs.replace(
        over,
        user=over.user or below.user,
        exposed_ports={**(below.exposed_ports or {}), **(over.exposed_ports or {})} or None,
        env=env or None,
        entrypoint=over.entrypoint or below.entrypoint,
        cmd=over.cmd or (None if over.entrypoint else below.cmd),
        healthcheck=over.healthcheck or below.healthcheck,
        volumes={**(below.volumes or {}), **(over.volumes or {})} or None,
        working_dir=over.working_dir or below.working_dir,
        labels={**(below.labels or {}), **(over.labels or {})} or None,
        stop_signal=over.stop_signal or below.stop_signal,
        stop_timeout=below.stop_timeout if over.stop_timeout is None else over.stop_timeout,
        shell=over.shell or below.shell,
        on_build=over.on_build or below.on_build,
    )


def _config(config: ContainerConfig) -> documents.Config:
    """The container's half as an image's configuration: what is of the one container alone is left out."""
    check = config.healthcheck
    return documents.Config(
        user=config.user,
        exposed_ports=config.exposed_ports or None,
        env=config.env or None,
        entrypoint=config.entrypoint or None,
        cmd=config.cmd or None,
        healthcheck=msgspec.convert(msgspec.to_builtins(check), documents.Healthcheck) if check else None,
        volumes=dict(config.volumes) or None,
        working_dir=config.working_dir,
        labels=config.labels or None,
        stop_signal=config.stop_signal or "",
        stop_timeout=config.stop_timeout,
        shell=config.shell or None,
        on_build=config.on_build or None,
    )
