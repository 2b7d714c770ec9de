"""Inspect one container."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from onggi.engine import clock, status
from onggi.engine.containers.sizes import sizes
from onggi.engine.containers.summary import endpoints
from onggi.engine.networks import links
from onggi.engine.oci import process
from onggi.engine.record import ContainerRecord
from onggi.wire.containers import ContainerInspectResponse, NetworkSettings
from onggi.wire.images import DriverData
from onggi.wire.networks import EndpointSettings

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine


async def inspect(engine: Engine, name: str, *, size: bool = False) -> ContainerInspectResponse:
    """Everything about one container; with `size` its disk use. Raises NoSuchContainer, InvalidParameter."""
    container = engine.containers.get(name)
    shown = inspected(engine, container)
    if not size:
        return shown
    own, whole = await engine.offload(sizes, engine, container.record)
    return msgspec.structs.replace(shown, size_rw=own, size_root_fs=whole)


def inspected(engine: Engine, container: Container) -> ContainerInspectResponse:
    """From memory alone: no file, no process."""
    record = container.record
    program, *arguments = process.arguments(record.config)
    directory = engine.paths.container_dir(record.id)
    return ContainerInspectResponse(
        id=record.id,
        created=clock.rfc3339(record.created_at),
        path=program,
        args=arguments,
        state=status.state(record),
        image=record.image_id,
        resolv_conf_path=f"{directory}/resolv.conf",
        hostname_path=f"{directory}/hostname",
        hosts_path=f"{directory}/hosts",
        log_path=record.log_path,
        name="/" + record.name,
        restart_count=record.restart_count,
        driver=engine.snapshots.driver,
        platform=record.platform,
        app_armor_profile=record.apparmor,
        exec_ids=list(container.execs) or None,
        host_config=links.shown(engine, record),
        graph_driver=_driver(engine, container),
        mounts=[mount.point() for mount in record.mounts if mount.type != "tmpfs" or mount.from_mounts],
        config=record.config,
        network_settings=_network(record),
    )


def _driver(engine: Engine, container: Container) -> DriverData:
    """Asked of the database once: where a container's snapshot lies never changes."""
    if container.driver_data is None:
        snapshot = container.record.snapshot
        data = engine.snapshots.data(snapshot) if snapshot else {}
        container.driver_data = DriverData(name=engine.snapshots.driver, data=data)
    return container.driver_data


def _network(record: ContainerRecord) -> NetworkSettings:
    """The fields at the top repeat those of the default bridge, for clients that know no other network."""
    networks = endpoints(record)
    first = networks.get("bridge", EndpointSettings())
    return NetworkSettings(
        sandbox_id=record.sandbox_id,
        sandbox_key=f"/proc/{record.pid}/ns/net" if record.sandbox_id and record.pid else "",
        ports=record.ports,
        endpoint_id=first.endpoint_id,
        gateway=first.gateway,
        global_ipv6_address=first.global_ipv6_address,
        global_ipv6_prefix_len=first.global_ipv6_prefix_len,
        ip_address=first.ip_address,
        ip_prefix_len=first.ip_prefix_len,
        ipv6_gateway=first.ipv6_gateway,
        mac_address=first.mac_address,
        networks=networks,
    )
