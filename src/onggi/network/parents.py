"""The link of the host that macvlan and ipvlan networks hang on: the user's, or one that the engine makes.

    eth0        the user's own; never touched
    eth0.42     VLAN 42 of eth0 (802.1q): the user's where it is there, else made, and removed with the last
                network that uses it
    dm-<id>     a dummy link of a network without a parent (di-<id> for ipvlan)

What the engine made bears the engine's name as the link's alias. A VLAN is made under a name of our own,
`ogv<id>`, and gets its name and alias in one request: a crash in between leaves a link that `orphans` finds.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from onggi.errors import Forbidden, InvalidParameter
from onggi.kernel.netlink import Link, Route

HALF_MADE = "ogv"
_VLANS = range(1, 4095)


class Parent(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is the link's, `owner` the engine's, `network` a network's id; `dummy`: made of nothing."""

    name: str
    owner: str
    network: str
    dummy: bool = False


def check(driver: str, name: str) -> None:
    """Refuse what cannot be a parent, in Docker's words. Raises InvalidParameter."""
    if name == "lo":
        raise InvalidParameter(f"loopback interface is not a valid {driver} parent link")
    if len(name) > 15 or "/" in name or any(character <= " " for character in name):
        raise InvalidParameter(f"invalid parent interface: {name!r}")


def ensure(parent: Parent) -> None:
    """Make the link where it is ours and lacks. Raises Forbidden in Docker's words, OSError."""
    with Route() as route:
        if route.link(parent.name) is not None:
            return
        if parent.dummy:
            route.add_dummy(parent.name)
            return
        base, vlan = _vlan(route, parent.name)
        half = HALF_MADE + parent.network[:12]
        route.remove_link(half)  # of a crash
        route.add_vlan(half, parent=base.index, vlan=vlan)
        try:
            made = route.link(half)
            assert made is not None  # one request ago
            route.rename(made.index, parent.name, alias=parent.owner)
        except BaseException:
            route.remove_link(half)
            raise
        route.set_up(made.index)


def link(route: Route, parent: Parent) -> Link:
    """The link. Raises Forbidden where somebody took it away."""
    found = route.link(parent.name)
    if found is None:
        raise Forbidden(f"the requested parent interface {parent.name} was not found on the host")
    return found


def remove(parent: Parent) -> None:
    """Remove the link where the engine made it; one that is gone is no error."""
    with Route() as route:
        found = route.link(parent.name)
        if parent.dummy or (found is not None and found.alias == parent.owner):
            route.remove_link(parent.name)


def orphans(owner: str, used: Iterable[str], networks: Iterable[str]) -> list[str]:
    """Remove what the engine made and no network of it uses; their names. `networks` are ids."""
    kept, half = set(used), {HALF_MADE + network[:12] for network in networks}
    with Route() as route:
        vlans = [found for found in route.links() if found.kind == "vlan"]
        lost = [found.name for found in vlans if found.alias == owner and found.name not in kept]
        gone = lost + [found.name for found in vlans if found.name in half]
        for name in gone:
            route.remove_link(name)
    return gone


def _vlan(route: Route, name: str) -> tuple[Link, int]:
    """`eth0.42` as (eth0, 42)."""
    base, dot, number = name.partition(".")
    if not dot:
        raise Forbidden(f"invalid subinterface vlan name {name}, example formatting is eth0.10")
    if "." in number:
        raise Forbidden(
            "required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, "
            f"instead received {name}"
        )
    if not (number.isascii() and number.isdigit()):
        raise Forbidden(f"unable to parse a valid vlan id from: {number} (ex. eth0.10 for vlan 10)")
    found = route.link(base)
    if found is None:
        raise Forbidden(f"-o parent interface was not found on the host: {base}")
    if int(number) not in _VLANS:
        raise Forbidden(f"vlan id must be between 1-4094, received: {number}")
    return found, int(number)
