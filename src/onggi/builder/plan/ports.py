"""EXPOSE: `80`, `80-90/udp`; addresses and host ports are read, reported, and left out."""

from __future__ import annotations

import ipaddress

from onggi.builder.dockerfile.checks import Checks
from onggi.builder.dockerfile.words import quoted
from onggi.builder.instructions import Location

PROTOCOLS = ("tcp", "udp", "sctp")
PORT_MAX = 65535


def parse(text: str, location: Location, checks: Checks) -> list[str]:
    """One word as `port/protocol`s. Raises ValueError in Docker's words."""
    *front, port = text.rsplit(":", 2) if text.count(":") < 3 else _last_two(text)
    address, host_port = ["", "", *front][-2:]
    port, _, protocol = port.partition("/")
    if not port:
        raise ValueError(f"invalid port: {quoted(text)}: no port specified")
    if protocol.lower() not in ("", *PROTOCOLS):
        raise ValueError(f"invalid port: {quoted(text)}: invalid proto: {protocol}")
    if protocol != protocol.lower():
        checks.report(
            "ExposeProtoCasing",
            location,
            f"Defined protocol '{text}' in EXPOSE instruction should be lowercase",
        )
    if address or host_port:
        detail = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{text}'"
        checks.report("ExposeInvalidFormat", location, detail)
    _check_address(address)
    first, last = _range(port, "containerPort")
    if host_port:
        host_first, host_last = _range(host_port, "hostPort")
        if last - first != host_last - host_first and last != first:
            raise ValueError(f"invalid ranges specified for container and host Ports: {port} and {host_port}")
    return [f"{number}/{protocol.lower() or 'tcp'}" for number in range(first, last + 1)]


def _last_two(text: str) -> list[str]:
    address, host_port, port = text.rsplit(":", 2)
    return [address, host_port, port]


def _check_address(address: str) -> None:
    if not address:
        return
    bare = address[1:-1] if address.startswith("[") and address.endswith("]") else address
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        raise ValueError(f"invalid IP address: {address}") from None


def _range(text: str, kind: str) -> tuple[int, int]:
    start, dash, end = text.partition("-")
    numbers = [start, end] if dash else [start, start]
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in numbers):
        raise ValueError(f"invalid {kind}: {text}")
    first, last = int(numbers[0]), int(numbers[1])
    if not 0 <= first <= last <= PORT_MAX:
        raise ValueError(f"invalid {kind}: {text}")
    return first, last
