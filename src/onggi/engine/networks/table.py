"""The networks of one engine: `bridge`, `host` and `none`, as every Docker engine has them.

Their rows are written at the first start. The default bridge gets its subnet when the first container joins
it, because only then is it known what the host uses; the row keeps it from then on.

    network   row in `networks`    record: JSON of wire Network
    endpoint  row in `endpoints`   record: JSON of wire EndpointSettings; written before the interface exists
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
from onggi.errors import InvalidParameter
from onggi.kernel.netlink import Route
from onggi.network import bridge, firewall, subnets
from onggi.network.addresses import Addresses
from onggi.store import networks as rows
from onggi.wire.networks import IPAM, EndpointSettings, IPAMConfig, Network

if TYPE_CHECKING:
    from onggi.engine.config import EngineConfig
    from onggi.store.database import Database

DEFAULT = "bridge"
PREDEFINED = {"bridge": "bridge", "host": "host", "none": "null"}  # name -> driver
_encode = msgspec.json.encode


class DefaultBridge:
    """The default bridge as the host has it, with its addresses."""

    def __init__(self, network_id: str, link: bridge.Bridge, addresses: Addresses) -> None:
        self.network_id = network_id
        self.link = link
        self.addresses = addresses


class Networks:
    """Every network; `open()` before use. Methods that touch the kernel block: call them by offload."""

    def __init__(self, database: Database, config: EngineConfig) -> None:
        self._database = database
        self._config = config
        self._lock = threading.Lock()
        self._default: DefaultBridge | None = None
        own = (
            ""
            if config.root.rstrip("/") == paths.ROOT
            else hashlib.sha256(config.root.encode()).hexdigest()[:8]
        )
        self.bridge_name = config.bridge or (f"og{own}" if own else "onggi0")
        self.table_name = f"onggi_{own}" if own else "onggi"

    def open(self) -> None:
        """Write the rows of the three predefined networks where they lack."""
        have = {row.name for row in rows.list_(self._database)}
        for name, driver in PREDEFINED.items():
            if name not in have and not (name == DEFAULT and self._config.bridge == "none"):
                created = now()
                network = _predefined(name, driver, rfc3339(created))
                rows.insert(
                    self._database, rows.NetworkRow(network.id, name, driver, created, _encode(network))
                )

    def all(self) -> list[Network]:
        """Oldest first."""
        return [msgspec.json.decode(row.record, type=Network) for row in rows.list_(self._database)]

    def get(self, reference: str) -> Network:
        """By id, name or prefix of an id. Raises NoSuchNetwork, InvalidParameter."""
        return msgspec.json.decode(rows.resolve(self._database, reference).record, type=Network)

    def endpoints(
        self, *, network_id: str = "", container_id: str = ""
    ) -> list[tuple[str, EndpointSettings]]:
        """(container id, endpoint) of a network, of a container, or of all."""
        listed = rows.endpoints(self._database, network_id=network_id, container_id=container_id)
        return [(row.container_id, msgspec.json.decode(row.record, type=EndpointSettings)) for row in listed]

    def default_bridge(self) -> DefaultBridge:
        """The default bridge, made on the host where it lacks. Raises Unavailable, Conflict, System."""
        with self._lock:
            if self._default is None:
                self._default = self._make_default()
            return self._default

    def known_default(self) -> DefaultBridge | None:
        """The default bridge if this engine has used it."""
        return self._default

    def close(self) -> None:
        """Take the bridge and its rules from the host when no container is in it.

        The user's own bridge stays. After a crash the next orderly end does so.
        Failpoint: network.rules-gone.
        """
        if self._config.bridge or self.endpoints():
            return
        config = self.get(DEFAULT).ipam.config
        if not config or not bridge.exists(self.bridge_name):
            return  # never used, or not since the last end
        if self._config.iptables:
            firewall.remove(self.table_name, self._rules(config[0].subnet))
        failpoints.hit("network.rules-gone")
        bridge.remove(self.bridge_name)

    def _rules(self, subnet: str) -> list[firewall.Masquerade]:
        return [firewall.Masquerade(subnet=subnet, bridge=self.bridge_name)]

    def _make_default(self) -> DefaultBridge:
        network = self.get(DEFAULT)
        if not network.ipam.config or self._lost_place(network):
            network = self._place(network)
        subnet = ipaddress.IPv4Network(network.ipam.config[0].subnet)
        gateway = network.ipam.config[0].gateway
        link = bridge.Bridge(
            name=self.bridge_name, gateway=gateway, prefix=subnet.prefixlen, mtu=self._config.mtu
        )
        bridge.ensure(link)
        if self._config.iptables:
            firewall.apply(self.table_name, self._rules(str(subnet)))
        addresses = Addresses(subnet, gateway)
        for _, endpoint in self.endpoints(network_id=network.id):
            addresses.reserve(endpoint.ip_address)
        return DefaultBridge(network.id, link, addresses)

    def _lost_place(self, network: Network) -> bool:
        """Has somebody taken the subnet while our bridge was away? What the user chose is not ours."""
        if self._config.bip or self.endpoints(network_id=network.id) or bridge.exists(self.bridge_name):
            return False
        return subnets.overlap(network.ipam.config[0].subnet, _used(self.bridge_name))

    def _place(self, network: Network) -> Network:
        """Choose the subnet and write it down."""
        if self._config.bip:
            try:
                address = ipaddress.IPv4Interface(self._config.bip)
            except ValueError as error:
                raise InvalidParameter(f"invalid bip {self._config.bip}: {error}") from None
            subnet, gateway = address.network, str(address.ip)
        else:
            subnet = subnets.choose(self._pools(), _used(self.bridge_name))
            gateway = str(next(subnet.hosts()))
        network = msgspec.structs.replace(
            network,
            ipam=IPAM(driver="default", config=[IPAMConfig(subnet=str(subnet), gateway=gateway)]),
            options={
                "com.docker.network.bridge.default_bridge": "true",
                "com.docker.network.bridge.enable_icc": "true",
                "com.docker.network.bridge.enable_ip_masquerade": str(self._config.iptables).lower(),
                "com.docker.network.bridge.name": self.bridge_name,
                "com.docker.network.driver.mtu": str(self._config.mtu),
            },
        )
        rows.update(self._database, network.id, _encode(network))
        return network

    def _pools(self) -> tuple[tuple[str, int], ...]:
        configured = tuple((pool.base, pool.size) for pool in self._config.default_address_pools)
        return configured or subnets.DEFAULT_POOLS


def _used(own_bridge: str) -> list[tuple[str, int]]:
    """Addresses and routes of the host; what an earlier bridge of ours left does not count."""
    with Route() as route:
        own = route.link(own_bridge)
        index = own.index if own is not None else 0
        addresses = [(address, prefix) for at, address, prefix in route.addresses() if at != index]
        if own is None:
            return addresses + route.destinations()
        return addresses


def _predefined(name: str, driver: str, created: str) -> Network:
    return Network(
        name=name,
        id=secrets.token_hex(32),
        created=created,
        scope="local",
        driver=driver,
        enable_ipv4=True,
        ipam=IPAM(driver="default"),
    )
