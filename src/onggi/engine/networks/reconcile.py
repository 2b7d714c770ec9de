"""At the engine's start: endpoints without a running container go, interfaces without an endpoint go.

What runs on gets its network made live, its addresses and ports reserved, and the firewall's table as it has
to be. A port that somebody took meanwhile is reported: the firewall's rule still serves it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from onggi.engine.networks import bandwidth, names, publish, uplink
from onggi.engine.networks.attach import forget, publisher
from onggi.engine.networks.live import DRIVERS, Live, bridge_name
from onggi.engine.networks.table import PREDEFINED, host_name
from onggi.errors import OnggiError
from onggi.network import bandwidth as limits
from onggi.network import bridge, parents
from onggi.store import networks as rows
from onggi.wire.networks import EndpointSettings

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord

log = logging.getLogger(__name__)


def reconcile(engine: Engine, running_ids: set[str]) -> None:
    """Blocking; called before the first request is served, with the ids of the containers that run on."""
    networks = engine.networks
    uplink.open_(engine)
    with networks.filter.taking_up():
        lives = _take_up(engine, running_ids)
    try:
        if networks.resolver.running() or any(name not in PREDEFINED for name in lives):
            networks.resolver.start()
            names.restore(engine)
    except OSError as error:
        log.error("no name server for containers: %s", error)


def _take_up(engine: Engine, running_ids: set[str]) -> dict[str, Live]:
    """The networks that running containers are in, live again, with their ports."""
    networks = engine.networks
    for container_id, endpoint in networks.endpoints():
        if container_id not in running_ids:
            forget(engine, container_id)
        elif not _recorded(engine, container_id, endpoint):
            rows.detach(engine.database, endpoint.endpoint_id)  # a connect that was cut off
            bridge.disconnect(host_name(endpoint.endpoint_id))
    kept = networks.endpoints()
    owned = {host_name(endpoint.endpoint_id) for _, endpoint in kept}
    used = {endpoint.network_id for _, endpoint in kept}
    lives: dict[str, Live] = {}
    for network in networks.all():
        if network.driver == "bridge":
            name = bridge_name(network) if network.ipam.config else networks.bridge_name
            for link in bridge.interfaces(name):
                if link.startswith("og") and link not in owned:
                    bridge.disconnect(link)
        if network.id in used and network.driver in DRIVERS:
            lives[network.name] = networks.live(network)
    _limits(engine, kept, owned)
    for name in parents.orphans(networks.table_name, networks.parents(), (one.id for one in networks.all())):
        log.warning("link %s of no network removed", name)
    for container_id in running_ids:
        container = engine.containers.find(container_id)
        if container is not None and container.record.ports:
            _publish_again(engine, container.record, lives)
    return lives


def _limits(engine: Engine, kept: list[tuple[str, EndpointSettings]], owned: set[str]) -> None:
    """Limits of bandwidth: of those that run on as the row has them, of others gone."""
    for container_id, endpoint in kept:
        try:
            bandwidth.apply(endpoint, engine.networks.table_name)
        except (OnggiError, OSError) as error:
            log.error("container %s: its limit of bandwidth: %s", container_id, error)
    for name in limits.orphans(engine.networks.table_name, owned):
        log.warning("link %s of no container removed", name)


def _recorded(engine: Engine, container_id: str, endpoint: EndpointSettings) -> bool:
    container = engine.containers.find(container_id)
    known = container.record.endpoints.values() if container is not None else ()
    return any(one.endpoint_id == endpoint.endpoint_id for one in known)


def _publish_again(engine: Engine, record: ContainerRecord, lives: dict[str, Live]) -> None:
    mine = {name: lives[name] for name in record.endpoints if name in lives}
    way = publisher(mine, record.asked_endpoints)
    if way is None:
        return
    live, endpoint = mine[way], record.endpoints[way]
    assert live.bridge is not None
    wanted = publish.again(
        record,
        address4=endpoint.ip_address,
        address6=endpoint.global_ipv6_address or endpoint.ip_address,
        bridge=live.bridge.name,
    )
    for one in wanted:
        try:
            engine.networks.filter.ports.take(record.id, [one])
        except OnggiError as error:
            log.error("container %s: %s", record.id, error.message)
    engine.networks.filter.watch(record.id, record.pid)
