"""Take a container out of a network, running or not.

Commit point: the container's record. The interface goes first: a crash after it leaves an endpoint row
without an interface, which the container's end or the next disconnect removes. Ports that cannot be had from
the network that is left are reported, and `inspect` shows none. Failpoints: network.unplugged,
network.left.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints
from onggi.engine.networks import bandwidth, names, publish
from onggi.engine.networks.attach import publish_ports, publisher
from onggi.engine.networks.connect import open_running, set_default_routes, told
from onggi.engine.networks.table import host_name
from onggi.errors import Forbidden, InvalidParameter, NoSuchContainer, OnggiError
from onggi.kernel.netlink import Route
from onggi.network import bridge
from onggi.network.sandbox import Entered, Sandbox
from onggi.store import networks as rows
from onggi.wire.networks import EndpointSettings

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord
    from onggi.wire.networks import Network, NetworkDisconnectRequest, PortBinding

log = logging.getLogger(__name__)


async def disconnect(engine: Engine, reference: str, request: NetworkDisconnectRequest) -> None:
    """Raises NoSuchNetwork, NoSuchContainer, InvalidParameter, Forbidden (not connected), System."""
    network = engine.networks.get(reference)
    try:
        engine.containers.get(request.container)
    except NoSuchContainer:
        if not request.force:
            raise
        await engine.offload(_forget_strangers, engine, network, request.container)
        return
    async with engine.containers.locked(request.container) as container:
        record = container.record
        if record.host_config.network_mode == "host" and network.name == "host":
            raise InvalidParameter("container cannot be disconnected from host network")
        if network.name not in record.asked_endpoints:
            raise Forbidden(f"container {record.id} is not connected to network {network.name}")
        asked = {name: item for name, item in record.asked_endpoints.items() if name != network.name}
        if not container.running:
            container.update(asked_endpoints=asked, endpoints=asked)
        else:
            ports = await engine.offload(_unplug, engine, record, network, asked)
            left = {name: item for name, item in record.endpoints.items() if name != network.name}
            container.update(asked_endpoints=asked, endpoints=left, ports=ports)
            failpoints.hit("network.left")
            await engine.offload(names.joined, engine, container.record, network.id)
    told(engine, "disconnect", network, container)


def _unplug(
    engine: Engine, record: ContainerRecord, network: Network, asked: dict[str, EndpointSettings]
) -> dict[str, list[PortBinding] | None]:
    """Blocking: the interface, row and address go; routes and ports move to a network that is left."""
    networks = engine.networks
    endpoint = record.endpoints[network.name]
    live = networks.live(network)
    sandbox = open_running(record)
    try:
        if live.bridge is not None:
            bandwidth.clear(endpoint)
            bridge.disconnect(host_name(endpoint.endpoint_id))
        else:
            _remove_inside(sandbox, endpoint)
        failpoints.hit("network.unplugged")
        rows.detach(engine.database, endpoint.endpoint_id)
        live.give_back(endpoint)
        lives = {name: networks.live(networks.get(name)) for name in asked}
        members = {
            lives[name]: msgspec.structs.replace(record.endpoints[name], gw_priority=item.gw_priority)
            for name, item in asked.items()
        }
        set_default_routes(engine, sandbox, members)
    finally:
        sandbox.close()
    everyone = {**lives, network.name: live}
    if publisher(everyone, record.asked_endpoints) != network.name:
        return record.ports
    networks.filter.withdraw(record.id)
    left = msgspec.structs.replace(record, asked_endpoints=asked)
    if publisher(lives, asked) is None:
        return publish.shown(record, ()) if asked else {}
    try:
        return publish_ports(engine, left, lives, {name: record.endpoints[name] for name in asked})
    except (OnggiError, OSError) as error:  # the interface is gone: what is begun is finished
        log.error("container %s: its ports cannot move to another network: %s", record.id, error)
        return publish.shown(record, ())


def _remove_inside(sandbox: Sandbox, endpoint: EndpointSettings) -> None:
    """The interface that has the endpoint's address; one that is gone is no error."""
    own = endpoint.ip_address or endpoint.global_ipv6_address
    with Entered(sandbox.fd), Route() as inside:
        index = next((at for at, address, _ in inside.addresses() if address == own), 0)
        for link in inside.links():
            if link.index == index:
                inside.remove_link(link.name)


def _forget_strangers(engine: Engine, network: Network, reference: str) -> None:
    """--force: an endpoint whose container is gone. Raises NoSuchContainer."""
    for row in rows.endpoints(engine.database, network_id=network.id):
        if row.container_id.startswith(reference) and engine.containers.find(row.container_id) is None:
            endpoint = msgspec.json.decode(row.record, type=EndpointSettings)
            rows.detach(engine.database, row.id)
            engine.networks.live(network).give_back(endpoint)
            bandwidth.clear(endpoint)
            bridge.disconnect(host_name(endpoint.endpoint_id))
            return
    raise NoSuchContainer(reference)
