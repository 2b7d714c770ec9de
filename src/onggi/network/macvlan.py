"""The macvlan driver: each container has a MAC of its own on a link of the host.

    parent (eth0, or eth0.42: made as VLAN 42 of eth0 when it lacks, and removed with the network)
      |== eth0 in the container's sandbox        nothing on the host, so nothing is left behind

Without `parent` the network is internal: its parent is a dummy link of our own, `dm-<network>`.
"""

from __future__ import annotations

import msgspec

from onggi.errors import Forbidden, InvalidParameter
from onggi.kernel.netlink import MACVLAN_MODES, Route
from onggi.network import plug as plugs
from onggi.network.plug import Plug
from onggi.network.sandbox import Entered, Sandbox


class Macvlan(msgspec.Struct, frozen=True, kw_only=True):
    """A macvlan network; `own_parent`: the engine made the parent and removes it with the network."""

    parent: str
    mode: str = "bridge"
    mtu: int = 1500
    own_parent: bool = False


def check_mode(mode: str) -> None:
    """Raises InvalidParameter."""
    if mode not in MACVLAN_MODES:
        raise InvalidParameter(f"unknown macvlan mode: {mode}")


def ensure(network: Macvlan) -> None:
    """Make the parent where it is ours and lacks. Raises Forbidden (no such link), OSError."""
    with Route() as route:
        if route.link(network.parent) is not None:
            return
        if not network.own_parent:
            raise Forbidden(f"invalid parent interface {network.parent}: no such network device")
        base, dot, vlan = network.parent.rpartition(".")
        if not dot:
            route.add_dummy(network.parent)
            return
        link = route.link(base)
        if link is None or not vlan.isdigit() or not 0 < int(vlan) < 4095:
            raise Forbidden(f"invalid parent interface {network.parent}: no such network device")
        route.add_vlan(network.parent, parent=link.index, vlan=int(vlan))


def connect(network: Macvlan, sandbox: Sandbox, plug: Plug) -> None:
    """Give the sandbox an interface on the parent. Raises OSError."""
    ensure(network)
    with Route() as route:
        link = route.link(network.parent)
        assert link is not None  # ensured
        route.add_macvlan(
            plug.name,
            parent=link.index,
            mode=network.mode,
            netns_fd=sandbox.fd,
            mac=plug.mac,
            mtu=min(network.mtu, link.mtu),
        )
    with Entered(sandbox.fd):
        plugs.configure(plug)


def disconnect(sandbox: Sandbox, name: str) -> None:
    """Remove the interface of a running container; one that is gone is no error."""
    with Entered(sandbox.fd), Route() as inside:
        inside.remove_link(name)


def remove(network: Macvlan) -> None:
    """Remove the parent where it is ours."""
    if network.own_parent:
        with Route() as route:
            route.remove_link(network.parent)
