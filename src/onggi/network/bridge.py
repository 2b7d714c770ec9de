"""The bridge driver: a bridge on the host with the gateway's address, a veth pair for each container.

    host                                    container's sandbox
    ----                                    -------------------
    bridge  172.17.0.1/16
      |-- og<endpoint>  <--- veth pair --->  eth0  172.17.0.2/16, default route by 172.17.0.1

Without communication between containers (enable_icc=false) the ports are isolated: the bridge itself keeps
them apart, so that it holds for frames that no packet filter sees. Every function is idempotent where a crash
may have left half of its work.
"""

from __future__ import annotations

import errno
import hashlib

import msgspec

from onggi.errors import Conflict
from onggi.kernel.netlink import Link, Route
from onggi.network import plug as plugs
from onggi.network.plug import Plug
from onggi.network.sandbox import Entered, Sandbox


class Bridge(msgspec.Struct, frozen=True, kw_only=True):
    """A bridge network as the host has it; `prefix` and `prefix6` are the subnets' lengths."""

    name: str
    gateway: str = ""
    prefix: int = 0
    gateway6: str = ""
    prefix6: int = 0
    mtu: int = 1500
    icc: bool = True


def ensure(bridge: Bridge) -> None:
    """Make the bridge if it is not there. Raises Conflict for a foreign link."""
    with Route() as route:
        link = route.link(bridge.name)
        if link is None:
            try:
                mac = b"\x02\x42" + hashlib.sha256(bridge.name.encode()).digest()[:4]
                route.add_bridge(bridge.name, mtu=bridge.mtu, mac=mac)
            except FileExistsError:
                pass  # another thread of ours was faster
            link = route.link(bridge.name)
        if link is None or link.kind != "bridge":
            raise Conflict(f"cannot use {bridge.name} as a bridge: a network device of that name exists")
        if bridge.gateway:
            route.add_address(link.index, bridge.gateway, bridge.prefix)
        if bridge.gateway6:
            route.add_address(link.index, bridge.gateway6, bridge.prefix6)
        if not link.up:
            route.set_up(link.index)
    # Published ports are reached by 127.0.0.1 too; the firewall drops what others send to that net.
    plugs.set_sysctl(f"ipv4/conf/{bridge.name}/route_localnet", "1")


def connect(bridge: Bridge, sandbox: Sandbox, plug: Plug) -> None:
    """Give the sandbox an interface in the bridge. Raises OSError."""
    with Route() as route:
        link = _bridge_link(route, bridge)
        route.add_veth(
            plug.host_name,
            plug.name,
            peer_netns_fd=sandbox.fd,
            peer_mac=plug.mac,
            master=link.index,
            mtu=bridge.mtu,
        )
        if not bridge.icc:
            port = route.link(plug.host_name)
            assert port is not None  # made one request ago
            route.isolate(port.index)
    with Entered(sandbox.fd):
        plugs.configure(plug)


def disconnect(host_name: str) -> None:
    """Remove the pair by its end on the host; one that is gone is no error."""
    with Route() as route:
        route.remove_link(host_name)


def hairpin(host_name: str) -> None:
    """Let a container reach its own published port.

    Where br_netfilter hands bridged frames to the packet filter (a dockerd of this host loads it), what is
    sent to the own port is not routed but turned back at the bridge's port.
    """
    with Route() as route:
        port = route.link(host_name)
        if port is not None:
            route.hairpin(port.index)


def adopt(bridge: Bridge, host_names: list[str]) -> None:
    """Put ends of pairs into the bridge again, after somebody deleted it. Raises OSError."""
    with Route() as route:
        link = _bridge_link(route, bridge)
        for name in host_names:
            port = route.link(name)
            if port is not None and port.master != link.index:
                route.set_master(port.index, link.index)
                if not bridge.icc:
                    route.isolate(port.index)


def interfaces(name: str) -> list[str]:
    """The host ends that are in the bridge of that name."""
    with Route() as route:
        link = route.link(name)
        return [] if link is None else [item.name for item in route.links() if item.master == link.index]


def exists(name: str) -> bool:
    """Is there a link of that name?"""
    with Route() as route:
        return route.link(name) is not None


def remove(name: str) -> None:
    """Remove the bridge itself; one that is gone is no error."""
    with Route() as route:
        route.remove_link(name)


def _bridge_link(route: Route, bridge: Bridge) -> Link:
    link = route.link(bridge.name)
    if link is None:  # deleted behind our back: made anew
        ensure(bridge)
        link = route.link(bridge.name)
    if link is None:
        raise OSError(errno.ENODEV, "bridge", bridge.name)
    return link
