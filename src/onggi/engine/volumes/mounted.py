"""Who uses a volume now, and volumes that are mounts: mounted for the first user, unmounted after the last.

A holder is a container that runs, or a verb that looks into the volume; a volume that is held is not removed.
What a killed engine left mounted is taken up by `recover`: the mounts of running containers stay, the others
go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from onggi import failpoints
from onggi.engine.volumes.record import all_, get
from onggi.volumes import mounting

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord


class Volumes:
    """Holders of each volume, by name, and a lock for what must not happen twice at once to one of them."""

    def __init__(self) -> None:
        self.holders: dict[str, set[str]] = {}
        self.mounted: set[str] = set()  # those that are mounts, and are mounted
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, name: str) -> asyncio.Lock:
        """Held while a volume is mounted, unmounted, filled or removed."""
        return self._locks.setdefault(name, asyncio.Lock())


async def hold(engine: Engine, name: str, holder: str) -> None:
    """Keep a volume from going, and mount it where it has mount options. Raises NoSuchVolume, System.

    Failpoint: volume.mounted.
    """
    async with engine.volumes.lock(name):
        options = get(engine, name).options
        if mounting.is_mount(options):
            await engine.offload(mounting.mount, engine.paths, name, options)
            failpoints.hit("volume.mounted")
            engine.volumes.mounted.add(name)
        engine.volumes.holders.setdefault(name, set()).add(holder)


async def release(engine: Engine, name: str, holder: str) -> None:
    """The holder needs it no more; the last one's leaving unmounts it."""
    async with engine.volumes.lock(name):
        holders = engine.volumes.holders.get(name)
        if holders is None:
            return
        holders.discard(holder)
        if not holders:
            del engine.volumes.holders[name]
            if name in engine.volumes.mounted:
                engine.volumes.mounted.discard(name)
                await engine.offload(mounting.unmount, engine.paths, name)


@asynccontextmanager
async def held(engine: Engine, name: str, holder: str) -> AsyncIterator[None]:
    """Hold a volume while the block runs."""
    await hold(engine, name, holder)
    try:
        yield
    finally:
        await release(engine, name, holder)


def of(record: ContainerRecord) -> list[str]:
    """The volumes of a container that are mounts."""
    return [mount.name for mount in record.mounts if mount.mounted]


async def hold_all(engine: Engine, record: ContainerRecord) -> None:
    """Before a container starts. Raises NoSuchVolume, System."""
    for name in of(record):
        await hold(engine, name, record.id)


async def release_all(engine: Engine, record: ContainerRecord) -> None:
    """After it has ended."""
    for name in of(record):
        await release(engine, name, record.id)


def recover(engine: Engine) -> None:
    """At start, when containers are adopted: take up what is mounted. Blocking."""
    for container in engine.containers.all():
        if container.running:
            for name in of(container.record):
                engine.volumes.holders.setdefault(name, set()).add(container.id)
                engine.volumes.mounted.add(name)
    for record in all_(engine):
        if mounting.is_mount(record.options) and record.name not in engine.volumes.mounted:
            mounting.unmount(engine.paths, record.name)
