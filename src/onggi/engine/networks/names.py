"""The names by which containers of one network find each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine.networks.table import PREDEFINED

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.networks.live import Live
    from onggi.engine.record import ContainerRecord
    from onggi.network.sandbox import Sandbox
    from onggi.wire.networks import EndpointSettings


def dns_names(record: ContainerRecord, live: Live, asked: EndpointSettings) -> list[str]:
    """Name, aliases, short id, host name: what others of a user-defined network call the container."""
    if live.name in PREDEFINED:
        return []
    names = [record.name, *asked.aliases, record.id[:12], record.config.hostname]
    return list(dict.fromkeys(name for name in names if name))


def open_sandbox(
    engine: Engine, record: ContainerRecord, sandbox: Sandbox, endpoints: dict[str, EndpointSettings]
) -> bool:
    return False


def gone(engine: Engine, container_id: str) -> None:
    return None


def joined(engine: Engine, record: ContainerRecord) -> None:
    return None
