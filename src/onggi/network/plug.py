"""What every driver makes of an endpoint: an interface in a sandbox, with addresses and default routes."""

from __future__ import annotations

import msgspec

from onggi.kernel.netlink import Route


class Plug(msgspec.Struct, frozen=True, kw_only=True):
    """One interface. `addresses` are (address, prefix length); `gateways` are at most one of each family."""

    host_name: str  # the end on the host, where the driver has one
    name: str  # inside: eth0, eth1, ...
    mac: bytes
    addresses: tuple[tuple[str, int], ...]
    gateways: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()  # ("net.ipv4.conf.IFNAME.log_martians", "1")


def configure(plug: Plug) -> None:
    """Addresses, up, routes; the calling thread is in the sandbox, where the link is already."""
    with Route() as inside:
        link = inside.link(plug.name)
        assert link is not None  # made one request ago
        if not any(":" in address for address, _ in plug.addresses):
            without_ipv6(plug.name)
        for address, prefix in plug.addresses:
            inside.add_address(link.index, address, prefix)
        for key, value in plug.sysctls:  # the interface's name may have dots; the rest has none
            before, _, after = key.partition(".IFNAME.")
            path = f"{before.removeprefix('net.').replace('.', '/')}/{plug.name}/{after.replace('.', '/')}"
            with open(f"/proc/sys/net/{path}", "w", encoding="ascii") as file:
                file.write(value)
        inside.set_up(link.index)
        for gateway in plug.gateways:
            inside.add_default_route(gateway, link.index)


def without_ipv6(name: str) -> None:
    """No link-local address where the network has no IPv6, as Docker does; a kernel without IPv6 is fine."""
    set_sysctl(f"ipv6/conf/{name}/disable_ipv6", "1")


def set_sysctl(path: str, value: str) -> None:
    """Write a value below /proc/sys/net of the calling thread's namespace; one that is not there is left."""
    try:
        with open(f"/proc/sys/net/{path}", "r+") as file:
            if file.read().strip() != value:
                file.seek(0)
                file.write(value)
    except FileNotFoundError:
        return
