"""How pasta and slirp4netns are called: the same subnet, the same link, no way to the host's loopback.

    .2 gateway   .3 nobody   .100 our end: slirp4netns' layout, given to pasta too

pasta(1): by default the gateway's address is the host's loopback (--no-map-gw closes it), and listening
sockets of either side appear on the other (-t, -u, -T, -U: none). slirp4netns(1): --disable-host-loopback,
and its name server would ask the host's loopback ones for everybody (--disable-dns): names are ours to ask.
"""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Iterable

import msgspec

from onggi.network import subnets

LINK = "tap0"
MTU = 65520
# Packages of Debian and its like, in the order in which they are tried: docs/decisions/slirp4netns-first.md
PACKAGES = {"slirp4netns": "slirp4netns", "pasta": "passt"}
_POOLS = (("10.0.2.0/23", 24), ("192.168.240.0/20", 24), ("172.31.240.0/20", 24))
_PASTA6 = "fd6f:6e67:6769:"  # unique local (RFC 4193); "onggi"
_SLIRP6 = "fd00:"  # slirp4netns has no other


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of the link; those of IPv6 are empty where the host has none."""

    subnet: str
    address: str
    gateway: str
    address6: str = ""
    gateway6: str = ""


def free_subnet(used: Iterable[tuple[str, int]]) -> str:
    """A subnet for the link that the host does not use. Raises Unavailable."""
    return str(subnets.choose(_POOLS, used))


def way(driver: str, subnet: str, *, six: bool) -> Way:
    """The addresses that a program gives the link."""
    network = ipaddress.ip_network(subnet)
    prefix = _PASTA6 if driver == "pasta" else _SLIRP6
    return Way(
        subnet=subnet,
        address=str(network[100]),
        gateway=str(network[2]),
        address6=f"{prefix}:100" if six else "",
        gateway6=f"{prefix}:2" if six else "",
    )


def installed(driver: str) -> list[str]:
    """Those that can be started, in the order in which they are tried; `driver` is empty for either."""
    wanted = [driver] if driver else list(PACKAGES)
    return [name for name in wanted if name in PACKAGES and shutil.which(name)]


def lacking(driver: str) -> str:
    """What to do where none is installed."""
    wanted = [driver] if driver else list(PACKAGES)
    packages = " or ".join(PACKAGES[name] for name in wanted)
    found = f"{driver} is not installed" if driver else f"neither {' nor '.join(wanted)} is installed"
    return f"{found}: containers have no way out (install the package {packages})"


def command(driver: str, found: Way, pid: int, *, pid_file: str, ready_fd: int) -> list[str]:
    """For the namespaces of a process. When all is up pasta writes `pid_file`, the other to `ready_fd`."""
    return _pasta(found, pid, pid_file) if driver == "pasta" else _slirp4netns(found, pid, ready_fd)


def _pasta(found: Way, pid: int, pid_file: str) -> list[str]:
    words = ["pasta", "--foreground", "--quiet", "--config-net", "--no-map-gw"]
    words += ["--ns-ifname", LINK, "--mtu", str(MTU), "--pid", pid_file]
    words += ["--address", found.address, "--netmask", "24", "--gateway", found.gateway]
    if found.address6:
        words += ["--address", found.address6, "--gateway", found.gateway6]
    else:
        words += ["--ipv4-only"]
    words += ["-t", "none", "-u", "none", "-T", "none", "-U", "none"]
    return [*words, str(pid)]


def _slirp4netns(found: Way, pid: int, ready_fd: int) -> list[str]:
    words = ["slirp4netns", "--configure", "--mtu", str(MTU), "--cidr", found.subnet]
    words += ["--disable-host-loopback", "--disable-dns", "--enable-sandbox", "--enable-seccomp"]
    words += ["--enable-ipv6"] if found.address6 else []
    return [*words, "--ready-fd", str(ready_fd), str(pid), LINK]
