"""The engine's parts, built and held; behaviour is in the verbs.

    Engine
      config      what it was told                     config.py
      paths       where its files are                  paths.py
      database    every object and its owner           store/database.py
      images      names and contents of images         images/
      snapshots   directory trees                      images/snapshots/
      volumes     who uses them now                  volumes/mounted.py
      networks    bridge, host and none                networks/table.py
      zygote      spawns a shim for each run           shims.py
      cgroups     which controllers lie where          runtime/cgroups/
      containers  the live table                       containers/table.py
      execs       exec instances                       exec_/table.py
      events      what happened                        events.py
      transfers   pulls and pushes under way           images/transfers.py
      offload     the door to blocking code            offload.py
      trash       what is renamed away                 store/trash.py

`engine = await reconcile.open_engine(config)` takes up what a former engine left (reconcile.py);
`await engine.close()` lets go: containers run on (decision 0010).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from onggi.engine.containers.table import Containers
from onggi.engine.events import Events
from onggi.engine.exec_.table import Execs
from onggi.engine.images.transfers import Transfers
from onggi.engine.networks.table import Networks
from onggi.engine.offload import Offload
from onggi.engine.shims import Zygote
from onggi.engine.volumes.mounted import Volumes
from onggi.errors import OnggiError
from onggi.images.images import Images
from onggi.runtime import cgroups
from onggi.signatures import policy
from onggi.store.database import Database
from onggi.store.locks import Lock

if TYPE_CHECKING:
    from onggi.engine.config import EngineConfig

log = logging.getLogger(__name__)


class Engine:
    """One engine; the first argument of every verb."""

    def __init__(self, config: EngineConfig, root_lock: Lock, database: Database) -> None:
        self.config = config
        self.root_lock = root_lock
        self.paths = config.paths
        self.database = database
        self.images = Images(self.paths, database, driver=config.storage_driver)
        self.snapshots = self.images.snapshots
        self.signature_policy = policy.load(config.signature_policy) if config.signature_policy else None
        self.networks = Networks(database, config)
        self.zygote = Zygote(self.paths)
        self.cgroups = cgroups.detect()
        self.trash = self.images.trash
        self.trash.work_behind()
        self.containers = Containers(database)
        self.execs = Execs()
        self.volumes = Volumes()
        self.events = Events()
        self.transfers = Transfers()
        self.offload = Offload(config.workers)
        self.closing = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._before_close: list[Callable[[], Awaitable[None]]] = []

    def before_close(self, work: Callable[[], Awaitable[None]]) -> None:
        """Floors above end what they have running on this engine before it closes."""
        self._before_close.append(work)

    def task(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start background work that the engine holds on to and cancels when it closes."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _remove_empty_cgroups(self) -> None:
        """The parent of all our cgroups, where no container runs on below it."""
        for directory in cgroups.open(self.cgroups, self.config.cgroup_root).directories():
            try:
                os.rmdir(directory)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EBUSY):
                    raise

    def _close_networks(self) -> None:
        """An end must not fail because of the host's network; the next orderly end tries again."""
        try:
            self.networks.close()
        except (OnggiError, OSError) as error:
            log.warning("the default bridge is left on the host: %s", error)

    async def close(self) -> None:
        """Let go of everything; shims and containers run on. A second call does nothing."""
        if self.closing:
            return
        self.closing = True
        for work in self._before_close:
            await work()
        self.events.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.transfers.close()
        for container in self.containers.all():
            if container.shim is not None:
                container.shim.disconnect()
        self.zygote.close()
        self._remove_empty_cgroups()
        self._close_networks()
        self.offload.close()
        self.trash.settle()
        self.database.close()
        self.root_lock.close()
