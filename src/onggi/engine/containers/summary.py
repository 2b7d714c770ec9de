"""One container as a line of `docker ps` and as `docker inspect` shows its network, mounts and command."""

from __future__ import annotations

from collections.abc import Iterable

from onggi.engine import clock, status
from onggi.engine.oci import process
from onggi.engine.record import ContainerRecord
from onggi.wire.containers import (
    ContainerSummary,
    ContainerSummaryHealth,
    ContainerSummaryHostConfig,
    ContainerSummaryNetworkSettings,
    PortSummary,
)
from onggi.wire.networks import EndpointSettings


def summary(
    record: ContainerRecord,
    *,
    image: str = "",
    aliases: Iterable[str] = (),
    size_rw: int | None = None,
    size_root_fs: int | None = None,
) -> ContainerSummary:
    """A line of GET /containers/json. `image` is over the name that the user wrote; `aliases` are links'."""
    return ContainerSummary(
        id=record.id,
        names=["/" + record.name, *aliases],
        image=image or record.image_name,
        image_id=record.image_id,
        command=command(record),
        created=record.created_at // clock.SECOND,
        ports=ports(record),
        size_rw=size_rw,
        size_root_fs=size_root_fs,
        labels=record.config.labels,
        state=str(record.status),
        status=status.text(record),
        host_config=ContainerSummaryHostConfig(
            network_mode=record.host_config.network_mode, annotations=record.host_config.annotations or None
        ),
        network_settings=ContainerSummaryNetworkSettings(networks=endpoints(record)),
        mounts=[mount.point() for mount in record.mounts if mount.type != "tmpfs" or mount.from_mounts],
        health=_health(record),
    )


def _health(record: ContainerRecord) -> ContainerSummaryHealth:
    """`none` where no check is configured, as dockerd writes it."""
    if record.health is None:
        return ContainerSummaryHealth(status="none")
    return ContainerSummaryHealth(status=record.health.status, failing_streak=record.health.failing_streak)


def command(record: ContainerRecord) -> str:
    """Program and arguments; one with a space in it is quoted, as dockerd does."""
    return " ".join(f"'{part}'" if " " in part else part for part in process.arguments(record.config))


def endpoints(record: ContainerRecord) -> dict[str, EndpointSettings]:
    """The networks of a container by name; host and none are networks too, a borrowed sandbox is not."""
    if record.endpoints:
        return record.endpoints
    mode = record.host_config.network_mode
    return {} if mode.startswith("container:") else {mode or "bridge": EndpointSettings()}


def ports(record: ContainerRecord) -> list[PortSummary]:
    """Published ports, then those that are only exposed; nothing while the container has no process."""
    if not status.has_process(record.status):
        return []
    listed: list[PortSummary] = []
    exposed = set(record.config.exposed_ports or {}) | set(record.ports)
    for key in sorted(exposed):
        number, kind = split_port(key)
        bindings = record.ports.get(key) or []
        if not bindings:
            listed.append(PortSummary(private_port=number, type=kind))
        for binding in bindings:
            public = int(binding.host_port or 0)
            listed.append(PortSummary(ip=binding.host_ip, private_port=number, public_port=public, type=kind))
    return listed


def split_port(key: str) -> tuple[int, str]:
    """`80/tcp` -> (80, "tcp")."""
    number, _, kind = key.partition("/")
    return int(number) if number.isdigit() else 0, kind or "tcp"
