"""The engine's parts, built and held; behaviour is in the verbs.

    Engine
      config      what it was told                     config.py
      paths       where its files are                  paths.py
      database    every object and its owner           store/database.py
      images      names and contents of images         images/
      snapshots   directory trees                      images/snapshots/
      zygote      spawns a shim for each run           shims.py
      containers  the live table                       containers/table.py
      execs       exec instances                       exec_/table.py
      events      what happened                        events.py
      offload     the door to blocking code            offload.py

`async with Engine.open(config) as engine` loads what a former engine left (reconcile.py) and, at the end,
lets go of it: containers run on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from onggi.engine.containers.table import Containers
from onggi.engine.events import Events
from onggi.engine.exec_.table import Execs
from onggi.engine.offload import Offload

if TYPE_CHECKING:
    from onggi.engine.config import EngineConfig
    from onggi.store.database import Database


class Engine:
    """One engine; the first argument of every verb."""

    def __init__(
        self, config: EngineConfig, database: Database, *, images: Any, snapshots: Any, zygote: Any
    ) -> None:
        self.config = config
        self.paths = config.paths
        self.database = database
        self.images = images
        self.snapshots = snapshots
        self.zygote = zygote
        self.containers = Containers(database)
        self.execs = Execs()
        self.events = Events()
        self.offload = Offload(config.workers)
        self.closing = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def task(self, work: Any, name: str) -> asyncio.Task[Any]:
        """Start background work that the engine holds on to and cancels when it closes."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def cancel_tasks(self) -> None:
        """Cancel all background work and wait for its end."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
