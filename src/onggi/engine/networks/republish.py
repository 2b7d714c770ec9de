"""Publish and withdraw ports of a container, running or not: `update --publish-add`, `--publish-rm`.

Withdrawn ones go first, so that a port can move from one to another; where the new ones cannot be had they
come back. Commit point: the container's record,
written by the caller. A crash before it is mended by the next engine's table, which is made of the record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from onggi.engine.networks import publish
from onggi.engine.networks.attach import bind_ports, publisher
from onggi.errors import InvalidParameter, OnggiError
from onggi.network.published import Port
from onggi.network.reservations import Wanted
from onggi.wire.networks import PortBinding

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord
    from onggi.wire.containers import ContainerUpdateRequest

Bindings = dict[str, list[PortBinding] | None]


def changed(record: ContainerRecord, request: ContainerUpdateRequest) -> Bindings:
    """The port bindings as they shall be. Raises InvalidParameter (nothing like it is published)."""
    publish.validate(request.publish_add)
    bindings: Bindings = dict(record.host_config.port_bindings)
    for word in request.publish_rm:
        key, host_port = _removal(word)
        kept = [item for item in bindings.get(key) or () if host_port and item.host_port != host_port]
        if key not in bindings or kept == (bindings[key] or []):
            raise InvalidParameter(f"No public port '{word}' published for {record.name}")
        bindings[key] = kept
    for key, listed in request.publish_add.items():
        number, protocol = publish.split(key)
        plain = f"{number}/{protocol}"
        bindings[plain] = [*(bindings.get(plain) or ()), *(listed or ())]
    return {key: listed for key, listed in bindings.items() if listed}


def apply(engine: Engine, record: ContainerRecord, request: ContainerUpdateRequest) -> dict[str, Any]:
    """Blocking: what changes in the record of a running container. Raises System (a port is taken)."""
    networks = engine.networks
    lives = {name: networks.live(networks.get(name)) for name in record.asked_endpoints}
    way = publisher(lives, record.asked_endpoints)
    if way is None:
        raise InvalidParameter(f"container {record.name} is in no network that publishes ports")
    gone: list[Port] = []
    for word in request.publish_rm:
        key, host_port = _removal(word)
        number, protocol = publish.split(key)
        gone += networks.filter.withdraw(record.id, protocol, number, int(host_port or 0))
    added = msgspec.structs.replace(
        record,
        host_config=msgspec.structs.replace(
            record.host_config, port_bindings=request.publish_add, publish_all_ports=False
        ),
    )
    try:
        bind_ports(engine, added, lives[way], record.endpoints[way])
    except OnggiError:
        networks.filter.publish(record.id, [_again(port) for port in gone])
        raise
    return {"ports": publish.shown(record, networks.filter.ports.bound(record.id))}


def _again(port: Port) -> Wanted:
    """What was withdrawn in vain."""
    return Wanted(
        protocol=port.protocol,
        port=port.port,
        host_address=port.host_address,
        first=port.host_port,
        last=port.host_port,
        address4="" if port.six else port.address,
        address6=port.address if port.six else "",
        bridge=port.bridge,
    )


def _removal(word: str) -> tuple[str, str]:
    """`80`, `80/udp`, `8080:80/tcp` -> (the container's port, the host's or "")."""
    host_port, colon, inside = word.rpartition(":")
    number, protocol = publish.split(inside)
    return f"{number}/{protocol}", host_port if colon else ""
