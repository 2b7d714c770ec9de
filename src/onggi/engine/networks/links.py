"""--link of the default bridge: names in /etc/hosts, variables, a name of the other container.

HostConfig.Links is kept as `<id>:alias`, so that it survives a rename, and shown as dockerd shows it:
`/db:/web/alias`. On user-defined networks links are the name server's (names.py). Sources: Docker's page
"Legacy container links"; what a variable is called, moby's daemon/links.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from onggi.engine.networks import publish
from onggi.engine.networks.table import DEFAULT
from onggi.errors import Conflict, InvalidParameter, NoSuchContainer

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord
    from onggi.wire.containers import HostConfig

_OF_IMAGES = ("HOME", "PATH")  # variables that every container has


def parse(item: str) -> tuple[str, str]:
    """`name:alias`, or `/name:/me/alias` as dockerd shows it."""
    other, _, alias = item.partition(":")
    other = other.removeprefix("/")
    return other, alias.rpartition("/")[2] or other


def resolve(engine: Engine, record: ContainerRecord, host: HostConfig) -> HostConfig:
    """At create: ids for names. Raises InvalidParameter (no such container; a 404 would mean the image)."""
    if not host.links or host.network_mode not in (DEFAULT, "default"):
        return host
    found = []
    for item in host.links:
        other, alias = parse(item)
        try:
            container = engine.containers.get(other)
        except NoSuchContainer as error:
            raise InvalidParameter(f"could not get container for {other}: {error.message}") from None
        if container.record.host_config.network_mode == "host":
            raise InvalidParameter(
                "conflicting options: host type networking can't be used with links. "
                "This would result in undefined behavior"
            )
        found.append(f"{container.id}:{alias}")
    return msgspec.structs.replace(host, links=found)


def shown(engine: Engine, record: ContainerRecord) -> HostConfig:
    """HostConfig as inspect shows it: `/db:/web/alias`."""
    host = record.host_config
    if not host.links or DEFAULT not in record.asked_endpoints:
        return host
    listed = [f"/{other.name}:/{record.name}/{alias}" for other, alias in _linked(engine, record)]
    return msgspec.structs.replace(host, links=listed)


def aliases(engine: Engine) -> dict[str, list[str]]:
    """Container id -> the names that links give it, `/web/alias` each."""
    found: dict[str, list[str]] = {}
    for container in engine.containers.all():
        if container.record.host_config.links:
            for other, alias in _linked(engine, container.record):
                found.setdefault(other.id, []).append(f"/{container.name}/{alias}")
    return found


def hosts(engine: Engine, record: ContainerRecord) -> list[tuple[list[str], str]]:
    """(names, address) for /etc/hosts. Raises Conflict (a linked container does not run)."""
    found = []
    for container, alias, address in _running(engine, record):
        names = [alias, container.record.config.hostname, container.name]
        found.append((list(dict.fromkeys(name for name in names if name)), address))
    return found


def environment(engine: Engine, record: ContainerRecord, *, strict: bool = True) -> list[str]:
    """What the container's process and each exec find of the linked ones.

    Raises Conflict for one that does not run, and leaves it out where not `strict`.
    """
    return [
        variable
        for container, alias, address in _running(engine, record, strict=strict)
        for variable in variables(
            f"/{record.name}/{alias}",
            address,
            container.record.config.env,
            container.record.config.exposed_ports,
        )
    ]


def variables(name: str, address: str, env: Iterable[str], exposed: Iterable[str] | None) -> list[str]:
    """ALIAS_PORT and its kin of one link; `name` is /web/alias, `exposed` are keys as 80/tcp.

    Neighbouring ports of one protocol get START and END as well. TCP comes before others.
    """
    prefix = name.rpartition("/")[2].upper().replace("-", "_") + "_"
    ports = sorted((publish.split(key) for key in exposed or ()), key=lambda p: (p[1] != "tcp", p[1], p[0]))
    found = [f"{prefix}PORT={protocol}://{address}:{port}" for port, protocol in ports[:1]]
    for group in _ranges(ports):
        for port, protocol in group:
            key = f"{prefix}PORT_{port}_{protocol.upper()}"
            found.append(f"{key}={protocol}://{address}:{port}")
            found += [f"{key}_ADDR={address}", f"{key}_PORT={port}", f"{key}_PROTO={protocol}"]
        if len(group) > 1:
            (first, protocol), (last, _) = group[0], group[-1]
            key = f"{prefix}PORT_{first}_{protocol.upper()}"
            found += [f"{key}_START={protocol}://{address}:{first}", f"{key}_PORT_START={first}"]
            found += [f"{key}_END={protocol}://{address}:{last}", f"{key}_PORT_END={last}"]
    found.append(f"{prefix}NAME={name}")
    pairs = (item.partition("=") for item in env)
    return found + [f"{prefix}ENV_{key}={value}" for key, eq, value in pairs if eq and key not in _OF_IMAGES]


def _ranges(ports: list[tuple[int, str]]) -> list[list[tuple[int, str]]]:
    groups: list[list[tuple[int, str]]] = []
    for port, protocol in ports:
        if groups and groups[-1][-1] == (port - 1, protocol):
            groups[-1].append((port, protocol))
        else:
            groups.append([(port, protocol)])
    return groups


def linking(engine: Engine, container: Container) -> list[Container]:
    """The running containers that have a link to this one: its address is in their /etc/hosts."""
    return [
        other
        for other in engine.containers.all()
        if other.record.host_config.links
        and other.running
        and any(one is container for one, _ in _linked(engine, other.record))
    ]


def by_alias(engine: Engine, name: str) -> tuple[Container, Container]:
    """`web/alias` as (web, the linked container). Raises NoSuchContainer, Conflict (it is no link's name)."""
    parent, slash, alias = name.strip("/").rpartition("/")
    if not slash:
        raise Conflict("Conflict, cannot remove the default link name of the container")
    container = engine.containers.get(parent)
    for other, known in _linked(engine, container.record):
        if known == alias:
            return container, other
    raise NoSuchContainer(name)


def _linked(engine: Engine, record: ContainerRecord) -> list[tuple[Container, str]]:
    """What a container links to, without those that were removed."""
    if DEFAULT not in record.asked_endpoints:
        return []
    pairs = [parse(item) for item in record.host_config.links]
    found = (
        (engine.containers.find(other) or engine.containers.named(other), alias) for other, alias in pairs
    )
    return [(container, alias) for container, alias in found if container is not None]


def _running(
    engine: Engine, record: ContainerRecord, *, strict: bool = True
) -> list[tuple[Container, str, str]]:
    if not record.host_config.links:
        return []
    found = []
    for container, alias in _linked(engine, record):
        endpoint = container.record.endpoints.get(DEFAULT)
        if not container.running or endpoint is None or not endpoint.ip_address:
            if not strict:
                continue
            raise Conflict(
                f"Cannot link to a non running container: /{container.name} AS /{record.name}/{alias}"
            )
        found.append((container, alias, endpoint.ip_address))
    return found
