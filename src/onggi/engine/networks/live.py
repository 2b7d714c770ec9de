"""A network as the host has it: its driver's value and its addresses, made from the row.

bridge    bridge_options.py
macvlan   parent, macvlan_mode; without a parent internal, on a dummy link dm-<12 of the id>
ipvlan    parent, ipvlan_mode, ipvlan_flag; without a parent the same on di-<12 of the id>
"""

from __future__ import annotations

import ipaddress

from onggi.engine.networks import bridge_options
from onggi.network import bridge, firewall, ipvlan, macvlan, parents
from onggi.network.addresses import Addresses
from onggi.network.parents import Parent
from onggi.network.plug import Plug
from onggi.network.sandbox import Sandbox
from onggi.wire.networks import EndpointSettings, IPAMConfig, Network

PARENT = "parent"
DRIVERS = ("bridge", "macvlan", "ipvlan")
_DUMMIES = {"macvlan": "dm-", "ipvlan": "di-"}  # Docker's names
# Auxiliary addresses that are the containers' way out, instead of the bridge's own (moby: libnetwork).
DEFAULT_GATEWAYS = {4: "DefaultGatewayIPv4", 6: "DefaultGatewayIPv6"}


class Live:
    """One network that can be connected to; `addresses4` and `addresses6` are None without that family.

    `owner` is the engine's name, for links that it makes as parents.
    """

    def __init__(self, network: Network, owner: str) -> None:
        self.id = network.id
        self.name = network.name
        self.driver = network.driver
        self.network = network
        self.internal = network.internal
        four = pool(network, 4)
        six = pool(network, 6)
        self.addresses4 = _addresses(four)
        self.addresses6 = _addresses(six)
        self._routers = {
            version: found.auxiliary_addresses.get(DEFAULT_GATEWAYS[version], "") if found else ""
            for version, found in ((4, four), (6, six))
        }
        self.mtu = bridge_options.mtu(network.options)
        self.options = bridge_options.read(network.options)
        self.bridge: bridge.Bridge | None = None
        self.macvlan: macvlan.Macvlan | None = None
        self.ipvlan: ipvlan.Ipvlan | None = None
        self.parent: Parent | None = None
        if network.driver == "bridge":
            self.bridge = self._bridge(network)
        else:
            self._on_parent(network, owner)

    def _bridge(self, network: Network) -> bridge.Bridge:
        four = self.addresses4 if self.options.has_address(4) else None
        six = self.addresses6 if self.options.has_address(6) else None
        return bridge.Bridge(
            name=bridge_name(network),
            gateway=four.gateway if four else "",
            prefix=four.subnet.prefixlen if four else 0,
            gateway6=six.gateway if six else "",
            prefix6=six.subnet.prefixlen if six else 0,
            mtu=self.mtu,
            icc=self.options.icc,
        )

    def _on_parent(self, network: Network, owner: str) -> None:
        options = network.options
        name = options.get(PARENT, "")
        self.internal = self.internal or not name
        self.parent = Parent(
            name=name or _DUMMIES[network.driver] + network.id[:12],
            owner=owner,
            network=network.id,
            dummy=not name,
        )
        if network.driver == "macvlan":
            mode = options.get("macvlan_mode") or "bridge"
            self.macvlan = macvlan.Macvlan(parent=self.parent, mode=mode, mtu=self.mtu)
            return
        self.ipvlan = ipvlan.Ipvlan(
            parent=self.parent,
            mode=options.get("ipvlan_mode") or "l2",
            flag=options.get("ipvlan_flag") or "bridge",
            mtu=self.mtu,
        )

    @property
    def segment(self) -> firewall.Segment | None:
        """What the firewall has to know; None for a driver that it has nothing to do with."""
        if self.bridge is None:
            return None
        pools = (item for item in (self.addresses4, self.addresses6) if item is not None)
        return firewall.Segment(
            bridge=self.bridge.name,
            subnets=tuple(str(item.subnet) for item in pools),
            masquerade=self.options.masquerade,
            sources=self.options.sources,
            internal=self.internal,
            icc=self.bridge.icc,
            open=tuple(v for v, mode in self.options.modes.items() if mode == "nat-unprotected"),
            trusted=self.options.trusted,
        )

    def ensure(self) -> None:
        """Make what it needs on the host. Raises Conflict, Forbidden, OSError."""
        if self.bridge is not None:
            bridge.ensure(self.bridge)
        elif self.parent is not None:
            parents.ensure(self.parent)

    def there(self) -> bool:
        """Is its link on the host?"""
        return self.bridge is None or bridge.exists(self.bridge.name)

    def remove(self) -> None:
        """Take it from the host; what is gone is no error."""
        if self.bridge is not None:
            bridge.remove(self.bridge.name)
        elif self.parent is not None:
            parents.remove(self.parent)

    def connect(self, sandbox: Sandbox, plug: Plug) -> None:
        """Give a sandbox its interface. Raises OSError."""
        if self.bridge is not None:
            bridge.connect(self.bridge, sandbox, plug)
        elif self.macvlan is not None:
            macvlan.connect(self.macvlan, sandbox, plug)
        elif self.ipvlan is not None:
            ipvlan.connect(self.ipvlan, sandbox, plug)

    @property
    def _routed(self) -> bool:
        return self.ipvlan is not None and self.ipvlan.mode != "l2"

    @property
    def own_macs(self) -> bool:
        """Does each endpoint have a MAC of its own? ipvlan's share their parent's."""
        return self.ipvlan is None

    def gateways(self) -> tuple[str, ...]:
        """Where a container of this network finds the rest of the world; nowhere from an internal one."""
        if self.internal:
            return ()
        if self._routed:
            families = (self.addresses4, self.addresses6)
            return tuple(way for way, family in zip(ipvlan.ON_LINK, families, strict=True) if family)
        return tuple(gateway for gateway in map(self.gateway, (4, 6)) if gateway)

    def gateway(self, version: int) -> str:
        """The bridge's address, or the router that an auxiliary address names; empty without a way out.

        ipvlan's l3 modes have a way out, and no gateway.
        """
        pool_ = self.addresses4 if version == 4 else self.addresses6
        if pool_ is None or self.internal or self._routed:
            return ""
        return self._routers[version] or pool_.gateway

    def reserve(self, endpoint: EndpointSettings) -> None:
        """Take the addresses that an endpoint has already. Raises Conflict, Forbidden."""
        if endpoint.ip_address and self.addresses4 is not None:
            self.addresses4.reserve(endpoint.ip_address)
        if endpoint.global_ipv6_address and self.addresses6 is not None:
            self.addresses6.reserve(endpoint.global_ipv6_address)

    def give_back(self, endpoint: EndpointSettings) -> None:
        """Free the addresses of an endpoint."""
        if endpoint.ip_address and self.addresses4 is not None:
            self.addresses4.give_back(endpoint.ip_address)
        if endpoint.global_ipv6_address and self.addresses6 is not None:
            self.addresses6.give_back(endpoint.global_ipv6_address)


def bridge_name(network: Network) -> str:
    """The name of the link: 15 characters at most (IFNAMSIZ)."""
    return network.options.get(bridge_options.NAME) or f"br-{network.id[:12]}"


def pool(network: Network, version: int) -> IPAMConfig | None:
    """The first IPAM configuration of a family."""
    for item in network.ipam.config:
        if item.subnet and ipaddress.ip_network(item.subnet).version == version:
            return item
    return None


def _addresses(config: IPAMConfig | None) -> Addresses | None:
    if config is None:
        return None
    return Addresses(
        ipaddress.ip_network(config.subnet),
        config.gateway,
        ip_range=ipaddress.ip_network(config.ip_range) if config.ip_range else None,
        aside=config.auxiliary_addresses.values(),
    )
