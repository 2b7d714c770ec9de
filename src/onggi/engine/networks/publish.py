"""Which ports a container publishes: PortBindings and PublishAllPorts of its request, made into `Wanted`.

Docker's keys are "80/tcp", its host ports text: "", "8080" or "8000-8010" (the first free one).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from onggi.errors import InvalidParameter
from onggi.network.reservations import Bound, Wanted
from onggi.spec.number import whole
from onggi.wire.networks import PortBinding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from onggi.engine.record import ContainerRecord

PROTOCOLS = ("tcp", "udp", "sctp")
Bindings = dict[str, list[PortBinding] | None]


def validate(bindings: Mapping[str, list[PortBinding] | None]) -> None:
    """Raises InvalidParameter in Docker's words."""
    for key, listed in bindings.items():
        split(key)
        for binding in listed or ():
            host_range(binding.host_port)
            if binding.host_ip:
                _address(binding.host_ip)


def split(key: str) -> tuple[int, str]:
    """`80/tcp` -> (80, "tcp"). Raises InvalidParameter."""
    number, _, protocol = key.partition("/")
    protocol = (protocol or "tcp").lower()
    if not _is_port(number):
        raise InvalidParameter(f"invalid port specification: {number!r}".replace("'", '"'))
    if protocol not in PROTOCOLS:
        raise InvalidParameter(f"invalid port specification: {key!r}".replace("'", '"'))
    return int(number), protocol


def host_range(text: str) -> tuple[int, int]:
    """`8080` or `8000-8010`; (0, 0) for any. Raises InvalidParameter."""
    first, dash, last = text.partition("-")
    if not text or text == "0":
        return 0, 0
    numbers = [first, last if dash else first]
    if not all(map(_is_port, numbers)):
        raise InvalidParameter(f'invalid port specification: "{text}"')
    low, high = int(numbers[0]), int(numbers[1])
    if low > high:
        raise InvalidParameter(f'invalid port specification: "{text}"')
    return low, high


def wanted(
    record: ContainerRecord, *, address4: str, address6: str, bridge: str, default_host: str = ""
) -> list[Wanted]:
    """What the container asks for. Raises InvalidParameter.

    `address4` and `address6` are where it is reached by those who come by IPv4 and IPv6 (Wanted).
    """
    bindings: Bindings = dict(record.host_config.port_bindings)
    if record.host_config.publish_all_ports:
        for key in record.config.exposed_ports or ():
            number, protocol = split(key)
            bindings.setdefault(f"{number}/{protocol}", [PortBinding()])
    found = []
    for key in sorted(bindings, key=split):
        number, protocol = split(key)
        for binding in bindings[key] or ():
            first, last = host_range(binding.host_port)
            host = _plain(binding.host_ip) or _plain(default_host)
            found.append(
                Wanted(
                    protocol=protocol,
                    port=number,
                    host_address=host,
                    first=first,
                    last=last,
                    address4="" if binding.host_ip == "::" else address4,
                    address6="" if binding.host_ip == "0.0.0.0" else address6,
                    bridge=bridge,
                )
            )
    return found


def again(record: ContainerRecord, *, address4: str, address6: str, bridge: str) -> list[Wanted]:
    """What a running container has published, for an engine that takes it up; addresses as in `wanted`."""
    found = []
    for key, listed in record.ports.items():
        number, protocol = split(key)
        for binding in listed or ():
            six = ":" in binding.host_ip
            port = int(binding.host_port)
            found.append(
                Wanted(
                    protocol=protocol,
                    port=number,
                    host_address=_plain(binding.host_ip),
                    first=port,
                    last=port,
                    address4="" if six else address4,
                    address6=address6 if six else "",
                    bridge=bridge,
                )
            )
    return found


def shown(record: ContainerRecord, bound: Iterable[Bound]) -> Bindings:
    """NetworkSettings.Ports: published ones, and null for those that are only exposed."""
    ports: Bindings = {}
    for key in record.config.exposed_ports or ():
        number, protocol = split(key)
        ports[f"{number}/{protocol}"] = None
    for one in bound:
        listed = ports.get(f"{one.port}/{one.protocol}") or []
        ports[f"{one.port}/{one.protocol}"] = [
            *listed,
            PortBinding(host_ip=one.host_address, host_port=str(one.host_port)),
        ]
    return ports


def _is_port(text: str) -> bool:
    return bool(whole(text, 65535))


def _plain(host: str) -> str:
    """An address as the firewall writes it; every address of a family is the empty text."""
    return "" if host in ("", "0.0.0.0", "::") else _address(host)


def _address(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        raise InvalidParameter(f"invalid IP address: {host}") from None
