"""Make an image out of a container's present state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints
from onggi.engine import run_paths
from onggi.engine.status import Status
from onggi.errors import Conflict
from onggi.images.commit import commit as commit_image
from onggi.runtime import cgroups
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

    `config` replaces the container's own; `changes` are Dockerfile instructions over it. Commit point: the
    image's row (images/commit.py). Failpoint: commit.frozen.
    Raises NoSuchContainer, InvalidParameter, Conflict.
    """
    named = str(reference.parse(f"{repository}:{tag}" if tag else repository).tagged()) if repository else ""
    async with engine.containers.locked(name) as container:
        if container.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f"You cannot commit container {container.id} which is {container.status}")
        record = container.record
        frozen = pause and container.status is Status.RUNNING
        group = cgroups.open(engine.cgroups, run_paths.cgroup(engine, record))
        if frozen:
            await engine.offload(group.freeze)
            failpoints.hit("commit.frozen")
        try:
            image_id = await engine.offload(
                commit_image,
                engine.images,
                record.snapshot,
                parent_id=record.image_id,
                config=_config(config or record.config),
                container_id=record.id,
                name=named,
                author=author,
                message=message,
                created_by=_created_by(record),
                changes=changes,
            )
        finally:
            if frozen:
                await engine.offload(run_paths.thaw, engine, record)
    engine.events.container("commit", record, comment=message, imageID=image_id, imageRef=named)
    return image_id


def _created_by(record: ContainerRecord) -> str:
    return " ".join([*(record.config.entrypoint or ()), *(record.config.cmd or ())])


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
