"""Give a container its networks before it starts.

    sandbox -> for each network: row, interface -> ports reserved -> firewall

Commit point of an endpoint: its row. Before it nothing exists; after it, a crash leaves a row that reconcile
removes with the container's run, and a sandbox that the kernel removes with the last descriptor. Ports are
sockets of this process, and the firewall's table is made anew at the next start.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints
from onggi.engine.networks import bandwidth, configure, names, publish
from onggi.engine.networks.live import DRIVERS, Live
from onggi.engine.networks.table import host_name
from onggi.errors import InvalidParameter, OnggiError, System
from onggi.network import bridge
from onggi.network.addresses import mac_of
from onggi.network.plug import Plug
from onggi.network.reservations import Bound
from onggi.network.sandbox import Sandbox, open_sandbox
from onggi.store import networks as rows
from onggi.wire.networks import EndpointIPAMConfig, EndpointSettings, PortBinding

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """What a start needs: the namespace to join, what `inspect` shows. Close the sandbox after the start."""

    sandbox: Sandbox
    endpoints: dict[str, EndpointSettings]
    ports: dict[str, list[PortBinding] | None]
    resolver: bool  # is there a name server of ours inside?

    @property
    def netns_path(self) -> str:
        return self.sandbox.path


async def attach(engine: Engine, record: ContainerRecord, sandbox: Sandbox | None = None) -> Attachment:
    """Connect a container to its networks: sandbox, addresses, interfaces, published ports.

    `sandbox` is a namespace that is there already, and ours from now on.
    Raises NoSuchNetwork, Unavailable (no address left), Conflict, Forbidden (an address or a port is taken),
    System, OSError. Failpoints: network.sandbox-opened, network.endpoint-written, network.connected,
    network.published.
    """
    return await engine.offload(_attach, engine, record, sandbox)


def _attach(engine: Engine, record: ContainerRecord, sandbox: Sandbox | None) -> Attachment:
    forget(engine, record.id)  # of a run that a crash cut off
    sandbox = sandbox or open_sandbox()
    try:
        failpoints.hit("network.sandbox-opened")
        lives = {name: live_network(engine, name) for name in record.asked_endpoints}
        ways = default_ways({lives[name]: asked for name, asked in record.asked_endpoints.items()})
        endpoints: dict[str, EndpointSettings] = {}
        taken = {configure.interface_name(asked, "") for asked in record.asked_endpoints.values()}
        for name, asked in record.asked_endpoints.items():
            live = lives[name]
            interface = configure.interface_name(asked, "") or free_name(live, taken)
            taken.add(interface)
            gateways = tuple(gateway for owner, gateway in ways if owner is live)
            endpoints[name] = plug_in(engine, record, live, asked, sandbox, interface, gateways)
        ports = publish_ports(engine, record, lives, endpoints)
        failpoints.hit("network.published")
        resolver = names.open_sandbox(engine, record, sandbox, endpoints)
    except BaseException:
        sandbox.close()
        forget(engine, record.id)
        raise
    return Attachment(sandbox=sandbox, endpoints=endpoints, ports=ports, resolver=resolver)


def live_network(engine: Engine, name: str) -> Live:
    network = engine.networks.get(name)
    if network.driver not in DRIVERS or network.config_only:
        raise InvalidParameter(f"network {name} of driver {network.driver} cannot be connected to")
    return engine.networks.live(network)


def free_name(live: Live, taken: set[str]) -> str:
    """The first name of an interface that none in the container has: eth0, eth1, ..."""
    prefix = live.options.prefix
    return next(f"{prefix}{n}" for n in range(len(taken) + 1) if f"{prefix}{n}" not in taken)


def default_ways(asked: dict[Live, EndpointSettings]) -> list[tuple[Live, str]]:
    """(network, gateway) of each family's default route: the highest priority, then the first name."""
    order = sorted(asked, key=lambda live: (-asked[live].gw_priority, live.name))
    found: dict[bool, tuple[Live, str]] = {}
    for live in order:
        for gateway in live.gateways():
            found.setdefault(":" in gateway, (live, gateway))
    return list(found.values())


def plug_in(
    engine: Engine,
    record: ContainerRecord,
    live: Live,
    asked: EndpointSettings,
    sandbox: Sandbox,
    interface: str,
    gateways: tuple[str, ...],
) -> EndpointSettings:
    """One endpoint: addresses, row, interface; undone when it fails. Raises as attach does."""
    endpoint = bandwidth.settled(live.network, _addressed(live, asked))
    endpoint = msgspec.structs.replace(endpoint, dns_names=names.dns_names(record, live, asked))
    try:
        row = rows.EndpointRow(endpoint.endpoint_id, live.id, record.id, msgspec.json.encode(endpoint))
        rows.attach(engine.database, row)
        failpoints.hit("network.endpoint-written")
        addresses = [
            (endpoint.ip_address, endpoint.ip_prefix_len),
            (endpoint.global_ipv6_address, endpoint.global_ipv6_prefix_len),
        ]
        live.connect(
            sandbox,
            Plug(
                host_name=host_name(endpoint.endpoint_id),
                name=configure.interface_name(asked, interface),
                mac=configure.mac_bytes(endpoint.mac_address) if live.own_macs else b"",
                addresses=(*(item for item in addresses if item[0]), *configure.link_locals(asked)),
                gateways=gateways,
                sysctls=configure.interface_sysctls(asked),
            ),
        )
        bandwidth.apply(endpoint, engine.networks.table_name)
    except BaseException:
        bandwidth.clear(endpoint)
        rows.detach(engine.database, endpoint.endpoint_id)
        live.give_back(endpoint)
        raise
    failpoints.hit("network.connected")
    return endpoint


def _addressed(live: Live, asked: EndpointSettings) -> EndpointSettings:
    """The endpoint with its addresses taken. Raises Unavailable, Conflict, Forbidden."""
    if asked.mac_address and not live.own_macs:
        raise InvalidParameter("ipvlan interfaces do not support custom mac address assignment")
    ipam = asked.ipam_config or EndpointIPAMConfig()
    four, six = live.addresses4, live.addresses6
    address4 = address6 = ""
    try:
        if four is not None:
            address4 = ipam.ipv4_address or four.take()
            if ipam.ipv4_address:
                four.reserve(address4)
        if six is not None:
            address6 = ipam.ipv6_address or six.take()
            if ipam.ipv6_address:
                six.reserve(address6)
    except OnggiError:
        if address6 == "" and address4 and four is not None and six is not None:
            four.give_back(address4)
        raise
    return msgspec.structs.replace(
        asked,
        network_id=live.id,
        endpoint_id=secrets.token_hex(32),
        gateway=live.gateway(4),
        ip_address=address4,
        ip_prefix_len=four.subnet.prefixlen if four else 0,
        ipv6_gateway=live.gateway(6),
        global_ipv6_address=address6,
        global_ipv6_prefix_len=six.subnet.prefixlen if six else 0,
        mac_address=(asked.mac_address or mac_of(address4).hex(":")) if live.own_macs else "",
    )


def publish_ports(
    engine: Engine, record: ContainerRecord, lives: dict[str, Live], endpoints: dict[str, EndpointSettings]
) -> dict[str, list[PortBinding] | None]:
    """Publish by the network that has the default route. Raises System (a port is taken)."""
    host = record.host_config
    if not host.port_bindings and not host.publish_all_ports:
        return publish.shown(record, ())
    way = publisher(lives, record.asked_endpoints)
    if way is None:
        return {}  # an internal network is reached by nobody outside
    return publish.shown(record, bind_ports(engine, record, lives[way], endpoints[way]))


def bind_ports(
    engine: Engine, record: ContainerRecord, live: Live, endpoint: EndpointSettings
) -> list[Bound]:
    """Reserve the record's ports and let the firewall lead them to an endpoint. Raises System."""
    assert live.bridge is not None
    across = endpoint.ip_address if engine.networks.filter.crosses else ""
    wanted = publish.wanted(
        record,
        address4=endpoint.ip_address,
        address6=endpoint.global_ipv6_address or across,
        bridge=live.bridge.name,
        default_host=live.options.host_address,
    )
    try:
        bound = engine.networks.filter.publish(record.id, wanted)
    except System as error:
        raise System(
            "failed to set up container networking: driver failed programming external connectivity on "
            f"endpoint {record.name} ({endpoint.endpoint_id}): {error.message}"
        ) from None
    if bound:
        bridge.hairpin(host_name(endpoint.endpoint_id))
    return bound


def publisher(lives: dict[str, Live], asked: dict[str, EndpointSettings]) -> str | None:
    """The name of the network whose driver publishes ports, or None."""
    able = [name for name, live in lives.items() if live.bridge is not None and not live.internal]
    return min(able, key=lambda name: (-asked[name].gw_priority, name), default=None)


def forget(engine: Engine, container_id: str) -> None:
    """Delete a container's endpoint rows, free its addresses, ports and names. Raises System."""
    networks = engine.networks
    for row in rows.endpoints(engine.database, container_id=container_id):
        endpoint = msgspec.json.decode(row.record, type=EndpointSettings)
        bandwidth.clear(endpoint)
        rows.detach(engine.database, row.id)
        live = networks.known(endpoint.network_id)
        if live is not None:
            live.give_back(endpoint)
    names.gone(engine, container_id)
    networks.filter.withdraw(container_id)
