"""The names by which containers of one network find each other, as the resolver is told of them.

A container of a user-defined network has the engine's name server inside; those of the default bridge alone
have the host's, as with Docker. Those of a rootless engine have ours too: only it knows the way to a name
server of the host's loopback. Blocking: called by offload.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from onggi.engine.networks.table import PREDEFINED
from onggi.network.resolver.zones import Member, View
from onggi.network.sandbox import Sandbox

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.networks.live import Live
    from onggi.engine.record import ContainerRecord
    from onggi.wire.networks import EndpointSettings

log = logging.getLogger(__name__)


def dns_names(record: ContainerRecord, live: Live, asked: EndpointSettings) -> list[str]:
    """Name, aliases, short id, host name: what others of a user-defined network call the container."""
    if live.name in PREDEFINED:
        return []
    names = [record.name, *asked.aliases, record.id[:12], record.config.hostname]
    return list(dict.fromkeys(name for name in names if name))


def open_sandbox(
    engine: Engine, record: ContainerRecord, sandbox: Sandbox, endpoints: dict[str, EndpointSettings]
) -> bool:
    """Serve a sandbox whose container has our name server; has it? Raises OSError."""
    if not _has_ours(engine, endpoints):
        return False
    if engine.networks.resolver.start():
        restore(engine)
    for member in members(record, endpoints):
        engine.networks.resolver.join(member)
    engine.networks.resolver.open(view(engine, record, endpoints), sandbox)
    engine.networks.served.add(record.id)
    return True


def members(record: ContainerRecord, endpoints: dict[str, EndpointSettings]) -> list[Member]:
    """The container in each of its user-defined networks."""
    return [
        Member(
            network=endpoint.network_id,
            network_name=name,
            container=record.id,
            names=tuple(endpoint.dns_names) or (record.name,),
            addresses=tuple(a for a in (endpoint.ip_address, endpoint.global_ipv6_address) if a),
        )
        for name, endpoint in _defined(endpoints).items()
    ]


def view(engine: Engine, record: ContainerRecord, endpoints: dict[str, EndpointSettings]) -> View:
    """What the container sees: its user-defined networks, and the world unless all are internal."""
    defined = _defined(endpoints)
    lives = [engine.networks.known(endpoint.network_id) for endpoint in endpoints.values()]
    links = []
    for endpoint in defined.values():
        for item in endpoint.links:
            other, _, alias = item.partition(":")
            links.append((endpoint.network_id, alias or other, other))
    return View(
        container=record.id,
        networks=tuple(endpoint.network_id for endpoint in defined.values()),
        links=tuple(links),
        servers=tuple(record.host_config.dns or engine.config.dns),
        forward=any(live is None or not live.internal for live in lives),
    )


def gone(engine: Engine, container_id: str) -> None:
    """A run has ended, or its start has failed."""
    if container_id in engine.networks.served:
        engine.networks.served.discard(container_id)
        engine.networks.resolver.gone(container_id)


def started(engine: Engine, record: ContainerRecord) -> None:
    """The container's init runs: the resolver watches it, for the time without an engine."""
    if record.id in engine.networks.served:
        engine.networks.resolver.watch(record.id, record.pid)
    if engine.networks.filter.ports.has(record.id):
        engine.networks.filter.watch(record.id, record.pid)


def joined(engine: Engine, record: ContainerRecord, left: str = "") -> None:
    """The networks or names of a running container have changed; `left` is the id of one that it left."""
    if record.id not in engine.networks.served:
        return
    if left:
        engine.networks.resolver.leave(left, record.id)
    for member in members(record, record.endpoints):
        engine.networks.resolver.join(member)
    engine.networks.resolver.view(view(engine, record, record.endpoints))


def renamed(record: ContainerRecord, old: str) -> dict[str, EndpointSettings]:
    """The endpoints of a container that has another name now."""
    changed = {}
    for name, endpoint in record.endpoints.items():
        names = [record.name if item == old else item for item in endpoint.dns_names]
        changed[name] = msgspec.structs.replace(endpoint, dns_names=names)
    return changed


def restore(engine: Engine) -> None:
    """Tell a resolver everything, and serve the sandboxes that it lacks. Raises OSError."""
    running = [
        container.record
        for container in engine.containers.all()
        if container.running and container.shim is not None and _has_ours(engine, container.record.endpoints)
    ]
    resolver = engine.networks.resolver
    if not running and not resolver.connected():
        return
    engine.networks.served |= {record.id for record in running}
    views = {record.id: view(engine, record, record.endpoints) for record in running}
    everyone = [member for record in running for member in members(record, record.endpoints)]
    served = resolver.tell_all(list(views.values()), everyone)
    for record in running:
        if record.id not in served:
            _serve_again(engine, record, views[record.id])
        resolver.watch(record.id, record.pid)


def _serve_again(engine: Engine, record: ContainerRecord, wanted: View) -> None:
    from onggi.engine.networks.connect import open_running  # connect.py imports us

    try:
        sandbox = open_running(record)
    except OSError as error:
        log.warning("container %s: no name server: %s", record.id, error)
        return
    try:
        engine.networks.resolver.open(wanted, sandbox)
    finally:
        sandbox.close()


def mend(engine: Engine) -> list[str]:
    """A resolver that died is started again; says so."""
    if not engine.networks.served or engine.networks.resolver.connected():
        return []
    engine.networks.resolver.start()
    restore(engine)
    return ["name server process"]


def _has_ours(engine: Engine, endpoints: dict[str, EndpointSettings]) -> bool:
    if engine.config.rootless:
        return any(item.endpoint_id for item in endpoints.values())
    return bool(_defined(endpoints))


def _defined(endpoints: dict[str, EndpointSettings]) -> dict[str, EndpointSettings]:
    return {name: item for name, item in endpoints.items() if name not in PREDEFINED and item.endpoint_id}
