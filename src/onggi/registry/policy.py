"""Where a registry may send us: redirects, token servers and upload locations are foreign words.

The first host is the user's choice and may be anywhere. Where it then points is followed, except
- to a link-local address, unless the registry has one itself (cloud metadata services live there),
- to this machine, unless the registry is on this machine,
- from TLS to plain HTTP.
Addresses are judged after the connection is made and before a byte is sent, so a name that changes what it
stands for gains nothing. Credentials go to the host that they were given for, and to the token server that
it names, and never along a redirect to another host.
"""

from __future__ import annotations

import ipaddress

LOOPBACK, LINK_LOCAL, OTHER = "loopback", "link-local", "other"


def kind(address: str) -> str:
    """Which of the three an IP address is; IPv4 in IPv6 is judged as IPv4."""
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if ip.is_loopback or ip.is_unspecified:
        return LOOPBACK
    return LINK_LOCAL if ip.is_link_local else OTHER


def allowed(origin: str, target: str) -> bool:
    """Whether a registry at an address of kind `origin` may lead to one of kind `target`."""
    return target in (OTHER, origin)


def literal(host: str) -> str:
    """The kind of an address that stands in a URL itself; empty for a name."""
    try:
        return kind(host)
    except ValueError:
        return LOOPBACK if host == "localhost" else ""
