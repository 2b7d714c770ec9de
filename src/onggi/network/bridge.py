"""The bridge driver: a bridge on the host with the gateway's address, a veth pair for each container.

    host                                    container's sandbox
    ----                                    -------------------
    bridge  172.17.0.1/16
      |-- og<endpoint>  <--- veth pair --->  eth0  172.17.0.2/16, default route by 172.17.0.1

Every function is idempotent where a crash may have left half of its work.
"""

from __future__ import annotations

import errno

import msgspec

from onggi.errors import Conflict
from onggi.kernel.netlink import Link, Route
from onggi.network.addresses import mac_of
from onggi.network.sandbox import Entered, Sandbox


class Bridge(msgspec.Struct, frozen=True, kw_only=True):
    """A bridge network as the host has it; `prefix` is the subnet's length."""

    name: str
    gateway: str
    prefix: int
    mtu: int = 1500


def ensure(bridge: Bridge) -> None:
    """Make the bridge if it is not there, and let the host forward. Raises Conflict for a foreign link."""
    with Route() as route:
        link = route.link(bridge.name)
        if link is None:
            try:
                route.add_bridge(bridge.name, mtu=bridge.mtu)
            except FileExistsError:
                pass  # another thread of ours was faster
            link = route.link(bridge.name)
        if link is None or link.kind != "bridge":
            raise Conflict(f"cannot use {bridge.name} as a bridge: a network device of that name exists")
        route.add_address(link.index, bridge.gateway, bridge.prefix)
        if not link.up:
            route.set_up(link.index)
    allow_forwarding()


def allow_forwarding() -> None:
    """Turn on the host's IPv4 forwarding, as dockerd does."""
    path = "/proc/sys/net/ipv4/ip_forward"
    with open(path) as file:
        if file.read().strip() == "1":
            return
    with open(path, "w") as file:
        file.write("1")


def connect(bridge: Bridge, sandbox: Sandbox, host_name: str, name: str, address: str) -> None:
    """Give the sandbox an interface `name` in the bridge. Raises OSError."""
    with Route() as route:
        link = _bridge_link(route, bridge)
        route.add_veth(
            host_name,
            name,
            peer_netns_fd=sandbox.fd,
            peer_mac=mac_of(address),
            master=link.index,
            mtu=bridge.mtu,
        )
    with Entered(sandbox.fd), Route() as inside:
        peer = inside.link(name)
        assert peer is not None  # made one request ago
        inside.add_address(peer.index, address, bridge.prefix)
        inside.set_up(peer.index)
        inside.add_default_route(bridge.gateway, peer.index)


def disconnect(host_name: str) -> None:
    """Remove the pair by its end on the host; one that is gone is no error."""
    with Route() as route:
        route.remove_link(host_name)


def interfaces(bridge: Bridge) -> list[str]:
    """The host ends that are in the bridge."""
    with Route() as route:
        link = route.link(bridge.name)
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
