"""What a request means in an older version of the API: fields that it did not have yet are not looked at.

Source: Docker's history of API versions, and what dockerd does with each. Answers are in versions.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from onggi.wire.containers import ContainerCreateRequest, ExecCreateRequest, HostConfig, Mount

Version = tuple[int, int]


class _Rule(NamedTuple):
    before: Version
    change: Callable[[HostConfig], HostConfig]


def create(request: ContainerCreateRequest, version: Version) -> ContainerCreateRequest:
    """POST /containers/create as the version understands it."""
    host = request.host_config
    for rule in _HOST:
        if version < rule.before:
            host = rule.change(host)
    health = request.healthcheck
    if version < (1, 44) and health is not None:
        health = msgspec.structs.replace(health, start_interval=0)
    if host is request.host_config and health is request.healthcheck:
        return request
    return msgspec.structs.replace(request, host_config=host, healthcheck=health)


def exec_create(request: ExecCreateRequest, version: Version) -> ExecCreateRequest:
    """POST /containers/{id}/exec as the version understands it."""
    if version < (1, 42):
        request = msgspec.structs.replace(request, console_size=None)
    if version < (1, 35):
        request = msgspec.structs.replace(request, working_dir="")
    if version < (1, 25):
        request = msgspec.structs.replace(request, env=[])
    return request


def _without_annotations(host: HostConfig) -> HostConfig:
    return msgspec.structs.replace(host, annotations={})


def _without_sizes(host: HostConfig) -> HostConfig:
    """Before 1.42: no size of the terminal, no making of mount points, options of another type of mount
    ignored.
    """
    mounts = [_only_own_options(mount) for mount in host.mounts]
    return msgspec.structs.replace(host, console_size=None, mounts=mounts)


def _only_own_options(mount: Mount) -> Mount:
    bind = mount.bind_options
    if bind is not None:
        bind = msgspec.structs.replace(bind, create_mountpoint=False)
    return msgspec.structs.replace(
        mount,
        bind_options=bind if mount.type == "bind" else None,
        volume_options=mount.volume_options if mount.type == "volume" else None,
        tmpfs_options=mount.tmpfs_options if mount.type == "tmpfs" else None,
    )


def _shallow_read_only(host: HostConfig) -> HostConfig:
    """Before 1.44 a read-only bind left the mounts below it writable."""
    return msgspec.structs.replace(host, mounts=[_shallow(mount) for mount in host.mounts])


def _shallow(mount: Mount) -> Mount:
    if mount.type != "bind" or mount.bind_options is None or not mount.read_only:
        return mount
    options = msgspec.structs.replace(
        mount.bind_options, read_only_non_recursive=True, read_only_force_recursive=False
    )
    return msgspec.structs.replace(mount, bind_options=options)


def _hosts_cgroups(host: HostConfig) -> HostConfig:
    return msgspec.structs.replace(host, cgroupns_mode="")


def _shareable_ipc(host: HostConfig) -> HostConfig:
    mounts = [
        msgspec.structs.replace(
            mount, bind_options=msgspec.structs.replace(mount.bind_options, non_recursive=False)
        )
        if mount.bind_options is not None
        else mount
        for mount in host.mounts
    ]
    return msgspec.structs.replace(host, ipc_mode=host.ipc_mode or "shareable", mounts=mounts)


def _kept_after_exit(host: HostConfig) -> HostConfig:
    """Before 1.25 the client removed, not the engine."""
    return msgspec.structs.replace(host, auto_remove=False)


_HOST = (
    _Rule((1, 44), _shallow_read_only),
    _Rule((1, 43), _without_annotations),
    _Rule((1, 42), _without_sizes),
    _Rule((1, 41), _hosts_cgroups),
    _Rule((1, 40), _shareable_ipc),
    _Rule((1, 25), _kept_after_exit),
)
