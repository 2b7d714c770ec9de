"""Take up what a former engine left, before the first request is served.

    containers without `complete`      a create that was cut off: removed
    status removing                    a removal that was cut off: finished
    a shim that runs                   adopted, whatever the row says; a shim that waits is ended
    an exit record newer than the row  the run ended meanwhile: taken note of, with restart policy and --rm
    neither                            the run is lost: its cgroup is killed, exit code 255
    a shim of no container             a build's step: killed
    another runtime named in the row   of a container without a shim: told to let go
    no owner                           cgroups below our parent, shim directories, container directories,
                                       snapshots, volumes, interfaces, endpoints, halves of a key,
                                       ranges of ids, disk quotas: removed
Containers of policy always, and unless-stopped ones that nobody stopped, are started where they are down.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from typing import TYPE_CHECKING

from onggi.engine import restart_policy, run, run_paths, runtimes
from onggi.engine.containers.discard import discard
from onggi.engine.containers.remove import remove_stopped
from onggi.engine.engine import Engine
from onggi.engine.exec_.adopt import adopt as adopt_execs
from onggi.engine.networks.reconcile import reconcile as reconcile_networks
from onggi.engine.networks.watch import watch as watch_networks
from onggi.engine.quotas import VOLUME
from onggi.engine.secrets.reconcile import reconcile as reconcile_secrets
from onggi.engine.shims import ExitRecord, Shim, ShimGone, ShimState, lost_record
from onggi.engine.status import Event, Status, after, has_process
from onggi.engine.volumes.mounted import recover as recover_mounted
from onggi.engine.volumes.reconcile import reconcile as reconcile_volumes
from onggi.errors import Conflict, Corrupt, OnggiError
from onggi.images import collect, mounted
from onggi.runtime import cgroups
from onggi.store import id_ranges
from onggi.store import volumes as volume_rows
from onggi.store.database import Database
from onggi.store.locks import Lock

if TYPE_CHECKING:
    from onggi.engine.config import EngineConfig
    from onggi.engine.containers.table import Container

SETTLE_SECONDS = 10.0  # for a start that the former engine began: vendors' hooks may take their time
log = logging.getLogger(__name__)


async def open_engine(config: EngineConfig) -> Engine:
    """Build an engine on its root, and reconcile. Raises Conflict (the root is in use), Corrupt, OSError."""
    paths = config.paths
    for directory, mode in (
        (paths.root, 0o710),
        (paths.containers_dir, 0o710),
        (paths.volumes_dir, 0o711),
        (paths.exec_root, 0o711),
        (paths.shims_dir, 0o711),
        (paths.bundle_place, 0o711),
    ):
        os.makedirs(directory, mode, exist_ok=True)
    root_lock = Lock(paths.lock)
    try:
        database = Database(paths.database)
    except BaseException:
        root_lock.close()
        raise
    try:
        engine = Engine(config, root_lock, database)
    except BaseException:
        database.close()
        root_lock.close()
        raise
    try:
        await reconcile(engine)
    except BaseException:
        await engine.close()
        raise
    return engine


async def reconcile(engine: Engine) -> None:
    """Bring database, kernel and files together; called once, on an engine that serves nobody yet."""
    engine.networks.open()
    engine.containers.load()
    await engine.zygote.start()
    await engine.offload(_images, engine)
    left_running: list[Container] = []
    for container in engine.containers.all():
        async with container.lock:
            await _container(engine, container, left_running)
    running = {container.id for container in engine.containers.all() if container.shim is not None}
    await engine.offload(reconcile_networks, engine, running)
    await engine.offload(reconcile_volumes, engine)
    await engine.offload(reconcile_secrets, engine)
    await _orphaned_runs(engine)
    for container in engine.containers.all():
        if container.shim is None and container.record.runtime:
            await engine.offload(runtimes.release, container.record)
            container.update(runtime=())
    await engine.offload(recover_mounted, engine)
    await engine.offload(_orphans, engine)
    await engine.offload(engine.trash.empty)
    engine.task(watch_networks(engine), "networks")
    await _start_again(engine, left_running)


async def _container(engine: Engine, container: Container, left_running: list[Container]) -> None:
    """One row against what there is; its lock is held."""
    record = container.record
    found = await _find(engine, container)
    if isinstance(found, Shim):
        state = await _settled(found)
        if state is not None:
            await _adopt(engine, container, found, state)
        else:
            await _container(engine, container, left_running)  # it has ended meanwhile: look again
        return
    if not record.complete:
        log.info("container %s: its creation was cut off, removing it", record.id)
        await discard(engine, container, volumes=True)
    elif record.status is Status.REMOVING:
        await _finish_removal(engine, container)
    elif has_process(record.status):
        await _ended_meanwhile(engine, container, found, left_running)
    elif record.status is Status.RESTARTING:
        left_running.append(container)
    elif found is not None and found.started_at > record.started_at and not found.lost:
        await _ran_unseen(engine, container, found)
    elif record.host_config.auto_remove and record.status is Status.EXITED:
        await _finish_removal(engine, container)
    elif record.status is Status.EXITED and _comes_back(container):
        left_running.append(container)


async def _find(engine: Engine, container: Container) -> Shim | ExitRecord | None:
    try:
        return await engine.zygote.find(container.id)
    except Corrupt as error:
        log.error("container %s: %s", container.id, error.message)
        path = engine.paths.exit_record(container.id)
        os.replace(path, f"{path}.corrupt")
        return lost_record(container.record.pid, error.message)


async def _settled(shim: Shim) -> ShimState | None:
    """What it is, when it no longer is in the middle of a start; None where it is gone."""
    deadline = time.monotonic() + SETTLE_SECONDS
    try:
        while True:
            state = await shim.state()
            if state.status != "starting" or time.monotonic() > deadline:
                return state
            await asyncio.sleep(0.02)
    except ShimGone:
        return None


async def _adopt(engine: Engine, container: Container, shim: Shim, state: ShimState) -> None:
    """Go on with a run that a former engine began; end a shim that it had only spawned."""
    if state.status == "new" or not container.record.complete:
        await shim.quit()
        if not container.record.complete:
            await discard(engine, container, volumes=True)
        return
    container.shim = shim
    if not has_process(container.status):
        # Died between the start and its row: what the shim says is true.
        status = container.status if container.status is not Status.DEAD else Status.EXITED
        container.update(
            status=after(status, Event.START), pid=state.pid, started_at=state.started_at,
            root_pid=state.root_pid if state.root_pid != state.pid else 0,
            exit_code=0, error="", manually_stopped=False, exit_on_next=False,
        )  # fmt: skip
    frozen = await engine.offload(run_paths.group(engine, container.record).frozen)
    if frozen != (container.status is Status.PAUSED):
        container.update(status=Status.PAUSED if frozen else Status.RUNNING)
    adopt_execs(engine, container, shim, state)
    log.info("container %s: adopted, pid %d", container.id, state.pid)
    run.watch(engine, container)


async def _ended_meanwhile(
    engine: Engine, container: Container, found: ExitRecord | None, left_running: list[Container]
) -> None:
    """The row says running, and there is no shim."""
    ours = found is not None and (found.lost or found.started_at >= container.record.started_at)
    exit_ = found if found is not None and ours else lost_record(container.record.pid)
    if exit_.lost:
        log.warning("container %s: its shim was lost, its processes are killed", container.id)
    await run.ended(engine, container, exit_)
    if container.status is Status.EXITED and _comes_back(container):
        left_running.append(container)


async def _ran_unseen(engine: Engine, container: Container, exit_: ExitRecord) -> None:
    """A run began and ended around the former engine's death, and no row says so."""
    container.update(
        status=after(container.status, Event.START), pid=exit_.pid, started_at=exit_.started_at,
        manually_stopped=False, exit_on_next=False,
    )  # fmt: skip
    await run.ended(engine, container, exit_)


async def _finish_removal(engine: Engine, container: Container) -> None:
    try:
        record = container.record
        await remove_stopped(
            engine, container, volumes=record.remove_volumes or record.host_config.auto_remove
        )
    except OnggiError as error:
        log.error("container %s: %s", container.id, error.message)


def _comes_back(container: Container) -> bool:
    """Does the policy bring a container that is down back with the engine? Docker's rule."""
    record = container.record
    if not record.started_at or container.restart_task is not None:
        return False
    name = record.host_config.restart_policy.name
    return name == "always" or (name == "unless-stopped" and not record.manually_stopped)


async def _start_again(engine: Engine, containers: list[Container]) -> None:
    for container in containers:
        async with container.lock:
            if container.removed or container.running or container.restart_task is not None:
                continue
            if container.status is not Status.RESTARTING:
                container.update(status=after(container.status, Event.EXIT_TO_RESTART))
            restart_policy.schedule(engine, container, 0)


def _images(engine: Engine) -> None:
    """What a crash left of loads, removals and snapshots; what is lost is named. Blocking."""
    mounted.recover(engine.images)
    found = collect.recover(engine.images)
    for key in found.removed:
        log.info("removed snapshot %s: nothing owns it", key)
    for key in found.lost:
        log.error("snapshot %s has lost its directory", key)


async def _orphaned_runs(engine: Engine) -> None:
    """Shims of no container: steps of builds that a former engine did not finish. They are killed."""
    known = {container.id for container in engine.containers.all()}
    for name in engine.zygote.shims():
        found = None if name in known else await engine.zygote.find(name)
        if not isinstance(found, Shim):
            continue
        log.info("ending the step %s of a build that was cut off", name[:12])
        state = await _settled(found)
        if state is not None and state.status == "new":
            await found.quit()
        elif state is not None:
            with contextlib.suppress(Conflict, ShimGone):  # it has ended meanwhile
                await found.signal(signal.SIGKILL)
        await found.ended
        found.disconnect()


def _orphans(engine: Engine) -> None:
    """What no row owns. Blocking."""
    known = {container.id for container in engine.containers.all()}
    for name in os.listdir(engine.paths.containers_dir):
        if name not in known:
            log.info("removing directory of unknown container %s", name)
            engine.trash.throw(engine.paths.container_dir(name))
    _orphaned_cgroups(engine, known)
    volumes = {f"{VOLUME}{row.name}" for row in volume_rows.list_(engine.database)}
    engine.quotas.reconcile(known | volumes)
    for owner in set(id_ranges.owners(engine.database)) - known:
        log.info("giving back the range of ids of unknown container %s", owner)
        id_ranges.give_back(engine.database, owner)
    for name in os.listdir(engine.paths.shims_dir):
        if name not in known or engine.containers.get(name).shim is None:
            run_paths.remove_shim_dir(engine, name)


def _orphaned_cgroups(engine: Engine, known: set[str]) -> None:
    parent = engine.config.cgroup_root
    names = set()
    for directory in cgroups.open(engine.cgroups, parent).directories():
        if os.path.isdir(directory):
            names |= {entry.name for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)}
    for name in names:
        container = engine.containers.find(name)
        if name not in known or (container is not None and container.shim is None):
            group = cgroups.open(engine.cgroups, f"{parent}/{name}")
            group.kill()
            group.remove()
