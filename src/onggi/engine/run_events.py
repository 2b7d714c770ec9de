"""The events of a run: dockerd tells of its networks and volumes as well, in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine.containers.summary import endpoints

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord


def begun(engine: Engine, record: ContainerRecord) -> None:
    _networks(engine, record, "connect")
    for mount in record.mounts:
        if mount.type == "volume":
            facts = {"destination": mount.target, "propagation": mount.propagation}
            writable = "false" if mount.read_only else "true"
            whose = {"driver": "local", "container": record.id}
            engine.events.emit("volume", "mount", mount.name, {**facts, "read/write": writable, **whose})
    engine.events.container("start", record)


def ended(engine: Engine, record: ContainerRecord, before: ContainerRecord, seconds: int) -> None:
    """`before` is the record as it was while the container ran, with its endpoints."""
    if record.oom_killed:
        engine.events.container("oom", record)
    engine.events.container("die", record, exitCode=str(record.exit_code), execDuration=str(seconds))
    _networks(engine, before, "disconnect")
    for mount in record.mounts:
        if mount.type == "volume":
            engine.events.emit("volume", "unmount", mount.name, {"driver": "local", "container": record.id})


def _networks(engine: Engine, record: ContainerRecord, action: str) -> None:
    for name in endpoints(record):
        network = engine.networks.find(name)
        if network is not None:  # it may have been removed while a container of it ran
            facts = {"container": record.id, "name": network.name, "type": network.driver}
            engine.events.emit("network", action, network.id, facts)
