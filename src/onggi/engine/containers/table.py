"""The containers that live: found by id, name or prefix, each with its lock and what only memory holds.

The database holds the records (store/containers.py); this table holds the same records decoded, so that a
`ps` or an `inspect` touches no file. `Container.update` writes both: row first, then memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from onggi.engine.record import ContainerRecord, decode
from onggi.engine.status import Status
from onggi.errors import Corrupt, InvalidParameter, NoSuchContainer
from onggi.store import containers as rows

if TYPE_CHECKING:
    from onggi.engine.exec_.table import Exec
    from onggi.engine.shims import Shim
    from onggi.store.database import Database
    from onggi.wire.images import DriverData


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended, for those who wait for it."""

    exit_code: int
    error: str = ""


class Container:
    """One container. Change its record with `update` and under its lock only."""

    def __init__(self, database: Database, record: ContainerRecord) -> None:
        self.record = record
        self.lock = asyncio.Lock()
        self.shim: Shim | None = None  # of the present run
        self.run_task: asyncio.Task[None] | None = None  # engine/run.py: waits for the run's end
        self.restart_task: asyncio.Task[None] | None = None  # engine/restart.py: sleeps before the next run
        self.health_task: asyncio.Task[None] | None = None  # engine/health.py
        self.execs: dict[str, Exec] = {}
        self.driver_data: DriverData | None = None  # containers/inspect.py, once it was asked for
        self.removed = False
        self.keep_once = False  # restart and rm see to the next exit themselves: no auto-removal
        self._database = database
        self._exit_waiters: list[asyncio.Future[Exit]] = []
        self._removal_waiters: list[asyncio.Future[Exit]] = []

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def status(self) -> Status:
        return self.record.status

    @property
    def running(self) -> bool:
        """Is there an init right now (running or paused)?"""
        return self.record.status in (Status.RUNNING, Status.PAUSED)

    def update(self, **changes: Any) -> ContainerRecord:
        """Replace fields of the record, in the database and here. One SQLite row: about 0.03 ms."""
        record = msgspec.structs.replace(self.record, **changes)
        rows.update(self._database, record.id, status=str(record.status), record=record.encode())
        self.record = record
        return record

    def next_exit(self) -> asyncio.Future[Exit]:
        """Resolves when the present or next run ends; the caller may cancel it."""
        waiter: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._exit_waiters.append(waiter)
        return waiter

    def removal(self) -> asyncio.Future[Exit]:
        """Resolves with the last exit when the container is removed."""
        waiter: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._removal_waiters.append(waiter)
        return waiter

    def tell_exit(self, exit_: Exit) -> None:
        _resolve(self._exit_waiters, exit_)

    def tell_removed(self) -> None:
        self.removed = True
        last = Exit(exit_code=self.record.exit_code, error=self.record.error)
        _resolve(self._exit_waiters, last)
        _resolve(self._removal_waiters, last)


def _resolve(waiters: list[asyncio.Future[Exit]], exit_: Exit) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(exit_)
    waiters.clear()


class Containers:
    """Every container of the engine; used from the event loop's thread only."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._by_id: dict[str, Container] = {}
        self._ids: dict[str, str] = {}  # name -> id

    def load(self) -> None:
        """Read every row. Raises Corrupt for a record that does not decode."""
        for row in rows.list_(self._database):
            try:
                record = decode(row.record)
            except msgspec.DecodeError as error:
                raise Corrupt(f"record of container {row.id} is corrupt: {error}") from None
            self._keep(Container(self._database, record))

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[Container]:
        """Newest first."""
        return sorted(self._by_id.values(), key=lambda c: (-c.record.created_at, c.id))

    def get(self, reference: str) -> Container:
        """By full id, name (with or without a slash), or unambiguous prefix of an id.

        Raises NoSuchContainer, InvalidParameter.
        """
        if not reference:
            raise InvalidParameter("No container name or ID supplied")
        exact = self._by_id.get(reference)
        if exact is not None:
            return exact
        named = self._ids.get(reference.removeprefix("/"))
        if named is not None:
            return self._by_id[named]
        found = [container for key, container in self._by_id.items() if key.startswith(reference)]
        if not found and "/" in reference.strip("/"):
            found = self._linked(*reference.strip("/").split("/", 1))
        if not found:
            raise NoSuchContainer(reference)
        if len(found) > 1:
            raise InvalidParameter(f"multiple IDs found with provided prefix: {reference}")
        return found[0]

    def _linked(self, parent: str, alias: str) -> list[Container]:
        """What `web/alias` means: HostConfig.Links has `id:alias` (engine/networks/links.py)."""
        owner = self.named(parent)
        items = [item.partition(":") for item in owner.record.host_config.links] if owner is not None else []
        ids = (other for other, _, known in items if known == alias)
        return [found for other in ids if (found := self._by_id.get(other)) is not None][:1]

    def find(self, container_id: str) -> Container | None:
        """By full id."""
        return self._by_id.get(container_id)

    def named(self, name: str) -> Container | None:
        """By exact name, without the slash."""
        container_id = self._ids.get(name)
        return self._by_id[container_id] if container_id is not None else None

    @asynccontextmanager
    async def locked(self, reference: str) -> AsyncIterator[Container]:
        """The container with its lock held. Raises NoSuchContainer, also when it went away while waiting."""
        container = self.get(reference)
        async with container.lock:
            if container.removed:
                raise NoSuchContainer(reference)
            yield container

    def add(self, record: ContainerRecord) -> Container:
        """Insert the row and keep the container. Raises Conflict when the name is taken."""
        row = rows.ContainerRow(
            record.id, record.name, str(record.status), record.image_id, record.created_at, record.encode()
        )
        rows.insert(self._database, row)
        container = Container(self._database, record)
        self._keep(container)
        return container

    def rename(self, container: Container, name: str) -> None:
        """Give another name. Raises Conflict when it is taken."""
        record = msgspec.structs.replace(container.record, name=name)
        rows.rename(self._database, container.id, name, record.encode())
        del self._ids[container.name]
        container.record = record
        self._ids[name] = container.id

    def discard(self, container: Container) -> None:
        """Delete the row and forget the container; those who wait for its removal are told."""
        rows.delete(self._database, container.id)
        self._by_id.pop(container.id, None)
        if self._ids.get(container.name) == container.id:
            del self._ids[container.name]
        container.tell_removed()

    def _keep(self, container: Container) -> None:
        self._by_id[container.id] = container
        self._ids[container.name] = container.id
