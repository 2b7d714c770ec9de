"""The engine's parts, built and held; behaviour is in the verbs.

    Engine
      config      what it was told                     config.py
      paths       where its files are                  paths.py
      database    every object and its owner           store/database.py
      images      names and contents of images         images/
      snapshots   directory trees                      images/snapshots/
      volumes     who uses them now                  volumes/mounted.py
      quotas      limits of what they take on disk   quotas.py
      sealing     keeps secrets from the disk          store/sealing.py
      remapped    ids of all containers (--userns-remap)    userns/
      access      rights of callers, or None           access/policy.py
      audit       who did what, or None                access/audit.py
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

from onggi.engine import rootless
from onggi.engine.access import callers
from onggi.engine.access import policy as policy_of_callers
from onggi.engine.access.audit import Audit
from onggi.engine.containers.table import Containers
from onggi.engine.events import Events
from onggi.engine.exec_.table import Execs
from onggi.engine.images.fetching import fetched
from onggi.engine.images.transfers import Transfers
from onggi.engine.networks.table import Networks
from onggi.engine.offload import Offload
from onggi.engine.quotas import Quotas
from onggi.engine.shims import Zygote
from onggi.engine.userns import remap
from onggi.engine.volumes.mounted import Volumes
from onggi.errors import InvalidParameter, OnggiError
from onggi.images.elsewhere import Packed
from onggi.images.images import Images
from onggi.runtime import cgroups
from onggi.signatures import policy
from onggi.store.database import Database
from onggi.store.locks import Lock
from onggi.store.sealing import Sealing

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
        self.images.blobs.elsewhere = Packed(self.images, lambda *what: fetched(self, *what))
        self.snapshots = self.images.snapshots
        self.signature_policy = policy.load(config.signature_policy) if config.signature_policy else None
        if config.userns_remap:
            rootless.refuse(config.rootless, "userns-remap", "the engine has a user namespace already")
            if self.snapshots.served:
                raise InvalidParameter("userns-remap: the storage driver fuse-overlayfs maps no owners")
        self.remapped = remap.remap(config.userns_remap) if config.userns_remap else None
        self.access = policy_of_callers.load(config.access_policy) if config.access_policy else None
        self.audit = Audit(config.audit_log) if config.audit_log else None
        self.networks = Networks(database, config)
        self.zygote = Zygote(self.paths)
        self.cgroups = cgroups.own() if config.rootless else cgroups.detect()
        self.trash = self.images.trash
        self.trash.work_behind()
        self.containers = Containers(database)
        self.execs = Execs()
        self.volumes = Volumes()
        self.quotas = Quotas(self.paths, database, config.storage_options, served=self.snapshots.served)
        self.sealing = Sealing(self.paths.secrets_key)
        self.events = Events()
        self.transfers = Transfers()
        self.offload = Offload(config.workers)
        self.layer_bytes: dict[str, int] = {}  # directory of a layer -> its size: system/disk.py
        self.closing = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._before_close: list[Callable[[], Awaitable[None]]] = []

    def before_close(self, work: Callable[[], Awaitable[None]]) -> None:
        """Floors above end what they have running on this engine before it closes."""
        self._before_close.append(work)

    def reload_access(self, path: str) -> None:
        """Read the policy file again. Raises InvalidParameter: then the old one holds."""
        self.access = policy_of_callers.load(path) if path else None

    def task(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start background work that the engine holds on to and cancels when it closes."""
        task = asyncio.get_running_loop().create_task(work, name=name, context=callers.engines_own())
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
        self.images.workers.close()
        for container in self.containers.all():
            if container.shim is not None:
                container.shim.disconnect()
        self.zygote.close()
        self._remove_empty_cgroups()
        self._close_networks()
        self.offload.close()
        self.trash.settle()
        if self.audit is not None:
            self.audit.close()
        self.database.close()
        self.root_lock.close()
