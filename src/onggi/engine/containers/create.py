"""Make a container that is not yet started.

    validate -> owner row -> ids -> directory -> snapshot -> volumes -> complete

Commit point: `complete` is written to the row. Before it every step is undone, by this coroutine when it
fails, by reconcile.py when the daemon died. Failpoints: create.row-written, create.ids-taken,
create.directory-made, create.snapshot-made, create.volumes-made, create.complete.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints
from onggi.engine import clock, image_facts, log_target, runtimes
from onggi.engine.access import own
from onggi.engine.containers import (
    defaults,
    discard,
    init_layer,
    mount_sources,
    mounts,
    names,
    unsupported,
    validate,
    volume_mounts,
)
from onggi.engine.networks import configure, links, publish
from onggi.engine.oci import process, security
from onggi.engine.record import ContainerRecord, MountRecord
from onggi.engine.secrets import references
from onggi.engine.userns import choose
from onggi.errors import Conflict, InvalidParameter, NoSuchContainer
from onggi.wire.containers import ContainerCreateRequest, ContainerCreateResponse, HostConfig

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.image_facts import ImageFacts


async def create(
    engine: Engine, request: ContainerCreateRequest, name: str = "", platform: str = ""
) -> ContainerCreateResponse:
    """Create a container. Raises NoSuchImage, InvalidParameter, Conflict (the name is taken), System."""
    if not request.image:
        raise InvalidParameter("config: image must be specified")
    own.check_create(engine, request)
    chosen = validate.name(name) if name else names.generate(lambda n: engine.containers.named(n) is not None)
    _refuse_taken(engine, chosen)
    image = await image_facts.resolve(engine, request.image, platform)
    record, warnings = _record(engine, request, image, chosen)
    record = await _with_images(engine, record)
    if not name and engine.containers.named(record.name) is not None:  # taken while the image was looked up
        free = names.generate(lambda n: engine.containers.named(n) is not None)
        record = msgspec.structs.replace(record, name=free)
    host_config = links.resolve(engine, record, references.resolve(engine, record))
    record = msgspec.structs.replace(record, host_config=host_config)
    container = engine.containers.add(record)
    async with container.lock:
        try:
            failpoints.hit("create.row-written")
            maps = choose.allocate(engine, record)
            if maps is not None:
                record = container.update(id_maps=maps)
                failpoints.hit("create.ids-taken")
            await engine.offload(_make, engine, record, image)
            failpoints.hit("create.snapshot-made")
            ready = await volume_mounts.make(engine, record)
            failpoints.hit("create.volumes-made")
            container.update(mounts=ready, complete=True)
        except BaseException:
            await discard.discard(engine, container, volumes=True)
            raise
    failpoints.hit("create.complete")
    engine.events.container("create", container.record)
    return ContainerCreateResponse(id=container.id, warnings=warnings)


def _refuse_taken(engine: Engine, name: str) -> None:
    owner = engine.containers.named(name)
    if owner is not None:
        raise Conflict(
            f'Conflict. The container name "/{name}" is already in use by container "{owner.id}". '
            "You have to remove (or rename) that container to be able to reuse that name."
        )


def _record(
    engine: Engine, request: ContainerCreateRequest, image: ImageFacts, name: str
) -> tuple[ContainerRecord, list[str]]:
    container_id = secrets.token_hex(32)
    validate.host(request.host_config)
    runtimes.check_create(engine.config, request.host_config)
    limit = engine.quotas.check_container(request.host_config.storage_opt)
    config = defaults.merge(request, image.config, container_id)
    validate.config(config)
    process.arguments(config)
    log_target.validate(request.host_config.log_config)
    host = defaults.host(request.host_config, engine.config, cgroup_v2=engine.cgroups.mode == "v2")
    host, warnings = unsupported.discard(engine.cgroups, host)
    _refuse_missing_peers(engine, host)
    choose.validate(engine, host)
    if limit and choose.mode(engine, host) is None:
        warnings += engine.quotas.warnings(security.capabilities(host))
    wanted = mounts.resolve(config, host, lambda other: _mounts_of(engine, other), engine.paths.root)
    publish.validate(host.port_bindings)
    if host.network_mode == "host" and host.port_bindings:
        warnings += ["Published ports are discarded when using host network mode"]
    endpoints = configure.endpoints(engine, request, host)
    record = ContainerRecord(
        id=container_id,
        name=name,
        created_at=clock.now(),
        image_id=image.id,
        image_name=request.image,
        config=config,
        host_config=host,
        snapshot=container_id,
        mounts=wanted,
        asked_endpoints=endpoints,
        endpoints=endpoints,
        log_path=engine.paths.log(container_id) if host.log_config.type == "json-file" else "",
        platform=image.os,
        owner=own.owner(),
    )
    return record, warnings


def _refuse_missing_peers(engine: Engine, host: HostConfig) -> None:
    """A 404 here would tell `docker run` that the image is missing: it would pull, and try again."""
    for mode in (host.network_mode, host.pid_mode, host.ipc_mode):
        kind, _, other = mode.partition(":")
        if kind == "container":
            try:
                engine.containers.get(other)
            except NoSuchContainer as error:
                raise InvalidParameter(error.message) from None


async def _with_images(engine: Engine, record: ContainerRecord) -> ContainerRecord:
    """The images that are mounted, found. Raises NoSuchImage."""
    if not any(mount.type == "image" for mount in record.mounts):
        return record
    found = []
    for mount in record.mounts:
        if mount.type == "image":
            image = await image_facts.resolve(engine, mount.source)
            mount = msgspec.structs.replace(mount, image_id=image.id, image_top=image.snapshot)
        found.append(mount)
    return msgspec.structs.replace(record, mounts=tuple(found))


def _mounts_of(engine: Engine, name: str) -> Iterable[MountRecord]:
    return engine.containers.get(name).record.mounts


def _make(engine: Engine, record: ContainerRecord, image: ImageFacts) -> None:
    """Blocking: sources of binds, the directory with its root mount point, the snapshot. Raises OSError."""
    mounts.make_bind_sources(record.mounts)
    directory = engine.paths.container_dir(record.id)
    project = engine.quotas.give(record.id, engine.quotas.check_container(record.host_config.storage_opt))
    os.mkdir(directory, 0o710)
    os.mkdir(f"{directory}/rootfs", 0o755)
    failpoints.hit("create.directory-made")
    engine.snapshots.create(record.snapshot, image.snapshot, "container", project=project)
    init_layer.begin(engine, record)
    mount_sources.make_image_mounts(engine, record)
