"""Connect a container to one more network, running or not.

Commit point: the endpoint's row of a running container, the container's record of another. A crash between
the two leaves an endpoint that is forgotten with the container's run. Failpoint: network.joined.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from onggi import failpoints
from onggi.engine.networks import configure, hosts, names
from onggi.engine.networks.attach import default_ways, free_name, live_network, plug_in
from onggi.errors import Conflict, Forbidden, InvalidParameter
from onggi.kernel.netlink import Route
from onggi.network.sandbox import Entered, Sandbox
from onggi.wire.networks import EndpointSettings

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine
    from onggi.engine.networks.live import Live
    from onggi.engine.record import ContainerRecord
    from onggi.wire.networks import Network, NetworkConnectRequest


async def connect(engine: Engine, reference: str, request: NetworkConnectRequest) -> None:
    """Raises NoSuchNetwork, NoSuchContainer, InvalidParameter, Conflict, Forbidden (connected already, an
    address is taken), Unavailable, System.
    """
    network = engine.networks.get(reference)
    async with engine.containers.locked(request.container) as container:
        _check(container, network)
        settings = request.endpoint_config or EndpointSettings()
        asked = configure.check(network, network.name, configure.cleared(settings))
        record = container.record
        wanted = {**record.asked_endpoints, network.name: asked}
        if container.running:
            endpoint = await engine.offload(_plug, engine, record, network, asked, wanted)
            failpoints.hit("network.joined")
            container.update(asked_endpoints=wanted, endpoints={**record.endpoints, network.name: endpoint})
            await engine.offload(_told_names, engine, container.record)
        else:
            engine.networks.get(network.id)
            container.update(asked_endpoints=wanted, endpoints=wanted)
    told(engine, "connect", network, container)


def told(engine: Engine, action: str, network: Network, container: Container) -> None:
    """The event of a connect or disconnect."""
    facts = {"container": container.id, "name": network.name, "type": network.driver}
    engine.events.emit("network", action, network.id, facts)


def _check(container: Container, network: Network) -> None:
    mode = container.record.host_config.network_mode
    if network.name == "host":
        raise InvalidParameter("container cannot be connected to host network")
    if mode == "host" or mode.startswith("container:"):
        raise InvalidParameter(
            "container sharing network namespace with another container or host cannot be connected to "
            "any other network"
        )
    if network.name == "none" or mode == "none":
        raise InvalidParameter(
            "container cannot be connected to multiple networks with one of the networks in private "
            "(none) mode"
        )
    if container.status in ("removing", "dead"):
        raise Conflict(f"container {container.id} is marked for removal and cannot be connected to a network")
    if network.name in container.record.asked_endpoints:
        raise Forbidden(f"endpoint with name {container.name} already exists in network {network.name}")


def _told_names(engine: Engine, record: ContainerRecord) -> None:
    """Blocking: the resolver, and the container's resolv.conf where it had the host's."""
    names.joined(engine, record)
    directory = engine.paths.container_dir(record.id)
    hosts.write(engine, directory, record, resolver=record.id in engine.networks.served)


def open_running(record: ContainerRecord) -> Sandbox:
    """The sandbox of a running container; close it. Raises OSError."""
    return Sandbox(os.open(f"/proc/{record.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC))


def _plug(
    engine: Engine,
    record: ContainerRecord,
    network: Network,
    asked: EndpointSettings,
    wanted: dict[str, EndpointSettings],
) -> EndpointSettings:
    """Blocking: the interface of a running container."""
    live = live_network(engine, network.name)
    ways = default_ways({live_network(engine, name): item for name, item in wanted.items()})
    gateways = tuple(gateway for owner, gateway in ways if owner is live)
    sandbox = open_running(record)
    try:
        with Entered(sandbox.fd), Route() as inside:
            taken = {link.name for link in inside.links()}
        endpoint = plug_in(engine, record, live, asked, sandbox, free_name(live, taken), gateways)
        if record.id not in engine.networks.served:
            names.open_sandbox(engine, record, sandbox, {**record.endpoints, network.name: endpoint})
    finally:
        sandbox.close()
    return endpoint


def set_default_routes(engine: Engine, sandbox: Sandbox, members: dict[Live, EndpointSettings]) -> None:
    """Blocking: the default routes of a container whose networks are these."""
    ways = default_ways(members)
    with Entered(sandbox.fd), Route() as inside:
        indexes = {index: address for index, address, _ in inside.addresses()}
        for live, gateway in ways:
            endpoint = members[live]
            own = endpoint.global_ipv6_address if ":" in gateway else endpoint.ip_address
            index = next((at for at, address in indexes.items() if address == own), 0)
            if not index:
                index = next((at for at, address, _ in inside.addresses() if address == own), 0)
            if index:
                inside.add_default_route(gateway, index)
