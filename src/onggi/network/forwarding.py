"""The host's forwarding, switched on as dockerd does; what it lets through that it did not before is dropped.

A host that forwards is a router between all of its networks. dockerd answers with the policy DROP of the
FORWARD chain, which also cuts off everybody who comes later. Here the links that were there when the engine
switched forwarding on are remembered (one file below exec_root, gone after a boot as the sysctl is), and the
firewall drops what goes from one of these to another of them: as before, nothing passes between them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from onggi.kernel.netlink import Route
from onggi.network import plug as plugs

_SWITCHES = {4: "ipv4/ip_forward", 6: "ipv6/conf/all/forwarding"}


def switch_on(note: str, version: int, own: Iterable[str]) -> None:
    """Let the host forward a family (4 or 6). `own` are the engine's links, `note` is the file.

    Where it forwards already nothing is done, and a host without the family is left. Raises OSError.
    """
    try:
        with open(f"/proc/sys/net/{_SWITCHES[version]}", encoding="ascii") as file:
            if file.read().strip() != "0":
                return
    except FileNotFoundError:
        return
    with Route() as route:
        found = sorted({link.name for link in route.links()} - {"lo", *own})
    with open(f"{note}.{version}.new", "w", encoding="utf-8") as file:
        file.write("\n".join(found))
    os.replace(f"{note}.{version}.new", f"{note}.{version}")
    plugs.set_sysctl(_SWITCHES[version], "1")


def apart(note: str, version: int) -> tuple[str, ...]:
    """The links between which nothing passed when forwarding was switched on; none where we did not do it."""
    try:
        with open(f"{note}.{version}", encoding="utf-8") as file:
            return tuple(file.read().split("\n")) if os.fstat(file.fileno()).st_size else ()
    except FileNotFoundError:
        return ()
