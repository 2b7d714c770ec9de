"""The networks of one engine: `bridge`, `host` and `none`, as every Docker engine has them, and the users'.

Rows of the first three are written at the first start. The default bridge gets its subnet when the first
container joins it, because only then is it known what the host uses; the row keeps it from then on.

    network   row in `networks`    record: JSON of wire Network
    endpoint  row in `endpoints`   record: JSON of wire EndpointSettings; written before the interface exists

A network is *live* while this engine has it on the host (live.py); the firewall's table is a function of the
live networks and of the published ports (filter.py). Lock order: `_lock` after the filter's.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import threading
from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints, paths
from onggi.engine.clock import now, rfc3339
from onggi.engine.networks import default_bridge
from onggi.engine.networks.filter import Filter
from onggi.engine.networks.live import DRIVERS, PARENT, Live, bridge_name
from onggi.engine.networks.uplink import Uplink
from onggi.errors import NoSuchNetwork
from onggi.kernel.netlink import Route
from onggi.network import bridge, firewall, forwarding, subnets
from onggi.network.resolver.client import Resolver
from onggi.network.rootless.outside import Outside
from onggi.store import networks as rows
from onggi.wire.networks import IPAM, EndpointSettings, Network

if TYPE_CHECKING:
    from onggi.engine.config import EngineConfig
    from onggi.store.database import Database

DEFAULT = "bridge"
PREDEFINED = {"bridge": "bridge", "host": "host", "none": "null"}  # name -> driver
_encode = msgspec.json.encode


class Networks:
    """Every network; `open()` before use. Methods that touch the kernel block: call them by offload."""

    def __init__(self, database: Database, config: EngineConfig) -> None:
        self._database = database
        self._config = config
        self._lock = threading.RLock()
        self.placing = threading.Lock()  # from choosing a subnet to the row that says so
        self._live: dict[str, Live] = {}
        own = (
            ""
            if config.root.rstrip("/") == paths.ROOT
            else hashlib.sha256(config.root.encode()).hexdigest()[:8]
        )
        self.bridge_name = config.bridge or (f"og{own}" if own else "onggi0")
        self.table_name = f"onggi_{own}" if own else "onggi"
        self._collisions: set[str] = set()
        self.uplink = Uplink()
        self.outside = Outside(config.paths.outside_socket) if config.rootless else None
        self.filter = Filter(config, self.table_name, self._segments, self.outside)
        self.resolver = Resolver(config.paths.resolver_socket)
        self.served: set[str] = set()  # containers with a name server of ours inside

    def open(self) -> None:
        """Write the rows of the three predefined networks where they lack."""
        have = {row.name for row in rows.list_(self._database)}
        for name, driver in PREDEFINED.items():
            if name not in have and not (name == DEFAULT and self._config.bridge == "none"):
                created = now()
                network = predefined(name, driver, rfc3339(created))
                rows.insert(
                    self._database, rows.NetworkRow(network.id, name, driver, created, _encode(network))
                )

    # --- rows -------------------------------------------------------------------------------------------

    def all(self) -> list[Network]:
        """Oldest first."""
        return [msgspec.json.decode(row.record, type=Network) for row in rows.list_(self._database)]

    def get(self, reference: str) -> Network:
        """By id, name or prefix of an id. Raises NoSuchNetwork, InvalidParameter."""
        return msgspec.json.decode(rows.resolve(self._database, reference).record, type=Network)

    def find(self, reference: str) -> Network | None:
        """The same, None where there is none. Raises InvalidParameter (ambiguous)."""
        try:
            return self.get(reference)
        except NoSuchNetwork:
            return None

    def endpoints(
        self, *, network_id: str = "", container_id: str = ""
    ) -> list[tuple[str, EndpointSettings]]:
        """(container id, endpoint) of a network, of a container, or of all."""
        listed = rows.endpoints(self._database, network_id=network_id, container_id=container_id)
        return [(row.container_id, msgspec.json.decode(row.record, type=EndpointSettings)) for row in listed]

    def insert(self, network: Network, created: int) -> None:
        """The row of a new network. Raises Conflict (the name is taken)."""
        row = rows.NetworkRow(network.id, network.name, network.driver, created, _encode(network))
        rows.insert(self._database, row)

    def delete(self, network: Network) -> None:
        """Take a network from the host, then its row."""
        with self._lock:
            live = self._live.pop(network.id, None)
            if live is None and network.driver in DRIVERS and network.ipam.config:
                live = self._make(network)
        if live is not None and not self._parent_shared(network):
            live.remove()
        self.filter.apply()
        failpoints.hit("network.link-gone")
        rows.delete(self._database, network.id)

    def _parent_shared(self, network: Network) -> bool:
        """Does another network hang on the same link of the host?"""
        parent = network.options.get(PARENT)
        return bool(parent) and any(
            other.options.get(PARENT) == parent for other in self.all() if other.id != network.id
        )

    def parents(self) -> set[str]:
        """The links of the host that networks hang on."""
        return {parent for network in self.all() if (parent := network.options.get(PARENT))}

    # --- on the host ------------------------------------------------------------------------------------

    def live(self, network: Network) -> Live:
        """The network on the host, made where it lacks. Raises Unavailable, Conflict, Forbidden, System."""
        with self._lock:
            found = self._live.get(network.id)
            if found is not None:
                return found
            if network.name == DEFAULT and not self.endpoints(network_id=network.id):
                network = self._place(network)
            live = self._make(network)
            live.ensure()
            self._let_forward(live)
            for _, endpoint in self.endpoints(network_id=network.id):
                live.reserve(endpoint)
            self._live[network.id] = live
        self.filter.apply()
        self.filter.let_through()
        return live

    def _let_forward(self, live: Live) -> None:
        """dockerd's ip-forward: the host is a router as soon as there is a network that leads out."""
        if live.bridge is None or live.internal or not self._config.ip_forward:
            return
        own = {bridge_name(network) for network in self.all() if network.driver == "bridge"}
        for version, pool_ in ((4, live.addresses4), (6, live.addresses6)):
            if pool_ is not None:
                forwarding.switch_on(self._config.paths.forwarding_note, version, own)

    def _segments(self) -> tuple[firewall.Segment, ...]:
        return tuple(segment for live in self.all_live() if (segment := live.segment) is not None)

    def known(self, network_id: str) -> Live | None:
        """The network if this engine has used it."""
        return self._live.get(network_id)

    def all_live(self) -> list[Live]:
        """Every network that is on the host."""
        with self._lock:
            return list(self._live.values())

    def mend(self) -> list[str]:
        """Make again what somebody took from the host behind our back; says what it was."""
        mended = []
        for live in self.all_live():
            if not live.there():
                live.ensure()
                names = [host_name(item.endpoint_id) for _, item in self.endpoints(network_id=live.id)]
                assert live.bridge is not None  # only a bridge can lack
                bridge.adopt(live.bridge, names)
                self._hairpins(live)
                mended.append(f"bridge {live.bridge.name} of network {live.name}")
        return mended + (self.filter.mend() if self._live else [])

    def _hairpins(self, live: Live) -> None:
        """The ports of a bridge that was made again, whose containers publish some."""
        for container_id, endpoint in self.endpoints(network_id=live.id):
            if self.filter.ports.has(container_id):
                bridge.hairpin(host_name(endpoint.endpoint_id))

    def collisions(self) -> list[str]:
        """Routes of the host that lie across a live network and were not told of before."""
        subnets_ = [
            (live.name, pool.subnet)
            for live in self.all_live()
            if live.bridge is not None
            for pool in (live.addresses4, live.addresses6)
            if pool is not None
        ]
        told = []
        for address, prefix in self.used() if subnets_ else ():
            route = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
            for name, subnet in subnets_:
                text = f"route {route} of the host collides with subnet {subnet} of network {name}"
                clash = route.version == subnet.version and route.prefixlen and route.overlaps(subnet)
                if clash and text not in self._collisions:
                    self._collisions.add(text)
                    told.append(text)
        return told

    def close(self) -> None:
        """Take bridges without containers and, when none is left, the rules from the host.

        The user's own bridge stays. After a crash the next orderly end does so.
        Failpoint: network.rules-gone.
        """
        self.resolver.close()
        self.filter.close()
        used = {endpoint.network_id for _, endpoint in self.endpoints()}
        if not used and (self._ever_used() or self.filter.exists()):  # a network that is gone left rules
            self.filter.remove()
        failpoints.hit("network.rules-gone")
        for network in self.all():
            ours = network.name != DEFAULT or not self._config.bridge
            if network.id in used or not ours or network.driver not in DRIVERS or not network.ipam.config:
                continue
            self._make(network).remove()

    def _ever_used(self) -> bool:
        return any(
            network.driver == "bridge" and network.ipam.config and bridge.exists(bridge_name(network))
            for network in self.all()
        )

    def _make(self, network: Network) -> Live:
        return Live(network, self.table_name)

    # --- subnets ----------------------------------------------------------------------------------------

    def choose(self, version: int) -> subnets.Network:
        """A free subnet for a new network. Raises Unavailable."""
        pools = self._pools()
        if version == 6 and not any(":" in base for base, _ in pools):
            pools = (subnets.ula_pool(self._seed()),)
        return subnets.choose(pools, [*self.used(), *self.subnets()], version=version)

    def subnets(self) -> list[tuple[str, int]]:
        """Every subnet of a network, live or not."""
        nets = [item.subnet for network in self.all() for item in network.ipam.config if item.subnet]
        return [(net.partition("/")[0], int(net.partition("/")[2])) for net in nets]

    def used(self) -> list[tuple[str, int]]:
        """Addresses and routes of the host that are not of our own bridges; rootless, those of both sides."""
        own = {bridge_name(network) for network in self.all() if network.driver == "bridge"}
        return _used(own | {self.bridge_name}) + (self.outside.routes() if self.outside else [])

    def _seed(self) -> str:
        """The id of the network `none`: random, as old as the engine's root."""
        return self.get("none").id

    def _lost_place(self, network: Network) -> bool:
        """Has somebody taken the subnet while our bridge was away?"""
        if not network.ipam.config or self._config.bridge or bridge.exists(self.bridge_name):
            return False
        return any(subnets.overlap(item.subnet, self.used()) for item in network.ipam.config)

    def _place(self, network: Network) -> Network:
        """The default bridge as the configuration wants it, written down."""
        if self._lost_place(network):
            network = msgspec.structs.replace(network, ipam=IPAM(driver="default"))
        placed = default_bridge.configured(network, self._config, self.bridge_name, self.choose)
        if placed.ipam != network.ipam and not self._config.bridge:
            bridge.remove(self.bridge_name)  # it may have the old address; nobody is in it
        if placed != network:
            rows.update(self._database, network.id, _encode(placed))
        return placed

    def _pools(self) -> tuple[tuple[str, int], ...]:
        configured = tuple((pool.base, pool.size) for pool in self._config.default_address_pools)
        return configured or subnets.DEFAULT_POOLS


def host_name(endpoint_id: str) -> str:
    """The name of the host's end of an endpoint's pair: IFNAMSIZ allows 15 characters."""
    return "og" + endpoint_id[:11]


def _used(own_bridges: set[str]) -> list[tuple[str, int]]:
    with Route() as route:
        own = {link.index for link in route.links() if link.name in own_bridges}
        addresses = [(address, prefix) for at, address, prefix in route.addresses() if at not in own]
        return addresses + route.destinations(without=own)


def predefined(name: str, driver: str, created: str) -> Network:
    """One of the three networks that every engine has, as at its first start."""
    return Network(
        name=name,
        id=secrets.token_hex(32),
        created=created,
        scope="local",
        driver=driver,
        enable_ipv4=True,
        ipam=IPAM(driver="default"),
    )
