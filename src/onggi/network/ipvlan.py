"""The ipvlan driver: containers share the MAC of a link of the host (network/parents.py), not its addresses.

    l2     the parent is a switch: containers are in its network, and need its gateway
    l3     the parent is a router: containers send all out by the link, others need a route to them
    l3s    the same, through the host's packet filter and connection tracking

`flag` says how containers of one parent see each other: bridge (directly), private (not), vepa (by the
switch outside). The kernel has one mode for each parent, so a parent belongs to one network
(Documentation/networking/ipvlan.rst).
"""

from __future__ import annotations

import errno

import msgspec

from onggi.errors import InvalidParameter, System
from onggi.kernel.netlink import IPVLAN_FLAGS, IPVLAN_MODES, Route
from onggi.network import parents
from onggi.network import plug as plugs
from onggi.network.parents import Parent
from onggi.network.plug import Plug
from onggi.network.sandbox import Entered, Sandbox

ON_LINK = ("0.0.0.0", "::")  # no gateway: the kernel sends out by the link what is not its own


class Ipvlan(msgspec.Struct, frozen=True, kw_only=True):
    """An ipvlan network."""

    parent: Parent
    mode: str = "l2"
    flag: str = "bridge"
    mtu: int = 1500


def check(mode: str, flag: str) -> None:
    """Raises InvalidParameter in Docker's words."""
    if mode not in IPVLAN_MODES:
        raise InvalidParameter(
            f"requested ipvlan mode '{mode}' is not valid, 'l2' mode is the ipvlan driver default"
        )
    if flag not in IPVLAN_FLAGS:
        raise InvalidParameter(
            f"requested ipvlan flag '{flag}' is not valid, 'bridge' is the ipvlan driver default"
        )


def connect(network: Ipvlan, sandbox: Sandbox, plug: Plug) -> None:
    """Give the sandbox an interface on the parent. Raises Forbidden, System (the kernel refuses), OSError."""
    parents.ensure(network.parent)
    with Route() as route:
        link = parents.link(route, network.parent)
        try:
            route.add_ipvlan(
                plug.name,
                parent=link.index,
                mode=network.mode,
                flag=network.flag,
                netns_fd=sandbox.fd,
                mtu=min(network.mtu, link.mtu),
            )
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EBUSY, errno.EINVAL):
                raise
            raise System(f"failed to create the ipvlan port: {(error.strerror or '').lower()}") from None
    with Entered(sandbox.fd):
        plugs.configure(plug)
