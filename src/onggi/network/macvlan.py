"""The macvlan driver: each container has a MAC of its own on a link of the host (network/parents.py).

parent |== eth0 in the container's sandbox        nothing on the host, so nothing is left behind
"""

from __future__ import annotations

import msgspec

from onggi.errors import InvalidParameter
from onggi.kernel.netlink import MACVLAN_MODES, Route
from onggi.network import parents
from onggi.network import plug as plugs
from onggi.network.parents import Parent
from onggi.network.plug import Plug
from onggi.network.sandbox import Entered, Sandbox


class Macvlan(msgspec.Struct, frozen=True, kw_only=True):
    """A macvlan network."""

    parent: Parent
    mode: str = "bridge"
    mtu: int = 1500


def check_mode(mode: str) -> None:
    """Raises InvalidParameter in Docker's words."""
    if mode not in MACVLAN_MODES:
        raise InvalidParameter(
            f"requested macvlan mode '{mode}' is not valid, 'bridge' mode is the macvlan driver default"
        )


def connect(network: Macvlan, sandbox: Sandbox, plug: Plug) -> None:
    """Give the sandbox an interface on the parent. Raises Forbidden, OSError."""
    parents.ensure(network.parent)
    with Route() as route:
        link = parents.link(route, network.parent)
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
