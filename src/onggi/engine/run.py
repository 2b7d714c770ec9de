"""One run of a container: from "start" to its end, and what its end sets going.

    created/exited --begin()--> running --the shim says "exit"--> ended() -> exited | restarting | gone

begin() is called with the container's lock held; ended() takes it. The run's shim tells of the end even where
another daemon began the run (reconcile.py hands it to watch()).
Not here: when to begin again (restart_policy.py), what is healthy (health.py).
"""

from __future__ import annotations

import asyncio
import logging
import os
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from onggi import failpoints
from onggi.engine import (
    apparmor,
    clock,
    executables,
    health,
    image_users,
    learned,
    log_target,
    restart_policy,
    run_events,
    run_joins,
    run_paths,
    runtimes,
    start_errors,
)
from onggi.engine.cdi import edits
from onggi.engine.containers import etc_files, init_layer, mount_sources
from onggi.engine.containers.mounts import make_bind_sources
from onggi.engine.containers.table import Exit
from onggi.engine.networks import attach as network_attach
from onggi.engine.networks import detach as network_detach
from onggi.engine.networks import hosts as network_hosts
from onggi.engine.networks import links, unlink
from onggi.engine.networks import names as network_names
from onggi.engine.oci import document
from onggi.engine.secrets import placing
from onggi.engine.shims import Stdio
from onggi.engine.status import Event, Status, after
from onggi.engine.userns import choose, stdio
from onggi.engine.userns.held import Held, hold
from onggi.engine.volumes import mounted
from onggi.errors import OnggiError, StartFailed
from onggi.images import view
from onggi.kernel import ids
from onggi.kernel import mounts as kernel_mounts
from onggi.runtime import compile
from onggi.spawn import init as reaper
from onggi.spawn.plan import StepFailed
from onggi.store import images as image_rows

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine
    from onggi.engine.networks.attach import Attachment
    from onggi.engine.record import ContainerRecord
    from onggi.engine.shims import ExitRecord, Shim
    from onggi.spawn.plan import Mount, Step

RETRY_SECONDS = 1.0
log = logging.getLogger(__name__)


async def begin(engine: Engine, container: Container) -> None:
    """Start the container's process; the lock is held and the status allows it.

    Commit point: the shim has answered that init runs. A daemon that dies after it finds the shim again; one
    that dies before it finds a shim that has not started, and ends it. Raises StartFailed, System.
    Failpoints: start.runtime-written (another runtime), start.network-attached, start.shim-spawned,
    start.started, start.row-written, start.undone.
    """
    try:
        await _begin(engine, container)
    except BaseException as error:
        await _undo(engine, container, error)
        raise
    watch(engine, container)  # first: whatever fails from here on, the run's end is seen
    network_names.started(engine, container.record)
    run_events.begun(engine, container.record)
    _note_use(engine, container.record, clock.now())
    await unlink.moved(engine, container)


async def _begin(engine: Engine, container: Container) -> None:
    record = container.record
    network = held = None
    spawning = asyncio.ensure_future(waiting_shim(engine, container))  # while the plan is made
    try:
        maps, peer = choose.of_run(engine, record)
        if maps != record.id_maps:
            record = container.update(id_maps=maps)
        record = await _hold_runtime(engine, container)
        await mounted.hold_all(engine, record)
        held = await _hold_users(engine, record)
        network = await _attach_network(engine, container, held)
        failpoints.hit("start.network-attached")
        userns_path = held.path if held else f"/proc/{peer}/ns/user" if peer else ""
        plan = await engine.offload(_prepare, engine, container.record, network, userns_path)
        shim = await spawning
        failpoints.hit("start.shim-spawned")
        log_to = log_target.target(record, engine.paths.log(record.id))
        started = await shim.start(plan, _stdio(record), log=log_to, oom_dir=_oom_dir(engine, record))
        failpoints.hit("start.started")
    except StepFailed as error:
        args = [*(record.config.entrypoint or ()), *(record.config.cmd or ())]
        runtime = record.host_config.runtime or ""
        raise start_errors.start_failed(error, args[0], record.config.working_dir, runtime) from None
    finally:
        await asyncio.gather(spawning, return_exceptions=True)
        if network is not None:
            network.sandbox.close()
        if held is not None:
            held.close()
    container.update(
        status=after(record.status, Event.START),
        pid=started.pid,
        root_pid=started.other_root,
        started_at=started.started_at,
        finished_at=0 if record.finished_at == 0 else record.finished_at,
        exit_code=0,
        error="",
        oom_killed=False,
        manually_stopped=False,
        exit_on_next=False,
        health=health.initial(record),
        apparmor=apparmor.of_container(record.host_config),
    )
    failpoints.hit("start.row-written")


async def _hold_runtime(engine: Engine, container: Container) -> ContainerRecord:
    """Another runtime is named in the row before it is asked for anything."""
    record = container.record
    command = runtimes.command(engine.config, record.host_config.runtime or runtimes.OWN, engine.paths)
    if record.runtime and record.runtime != command:
        await engine.offload(runtimes.release, record)
    if record.runtime != command:
        record = container.update(runtime=command)
        failpoints.hit("start.runtime-written")
    return record


async def waiting_shim(engine: Engine, container: Container) -> Shim:
    """The shim of the next run: an attach before the start has spawned it already."""
    if container.shim is None:
        container.shim = await engine.zygote.spawn(container.id)
    return container.shim


async def _undo(engine: Engine, container: Container, error: BaseException) -> None:
    """Take back what a start that failed has left, and say in the record why. With --rm the container is gone
    when this returns: who is told of the failure may use its name again.
    """
    if container.shim is not None:
        await container.shim.quit()
        container.shim = None
    await network_detach.detach(engine, container.record)
    await mounted.release_all(engine, container.record)
    try:
        await engine.offload(run_paths.clear, engine, container.record)
    except (OnggiError, OSError) as left:  # the reason of the failure must reach the record all the same
        log.error("container %s: its cgroup is left: %s", container.id, left)
    code = error.exit_code if isinstance(error, StartFailed) else 128
    container.update(
        status=after(container.status, Event.START_FAILED),
        exit_code=code,
        error=error.message if isinstance(error, OnggiError) else str(error),
        pid=0,
        root_pid=0,
        runtime=(),
        finished_at=clock.now() if container.status is not Status.CREATED else 0,
        **network_detach.cleared(container.record),
    )
    failpoints.hit("start.undone")
    container.tell_exit(Exit(exit_code=code, error=container.record.error))
    if container.record.host_config.auto_remove:  # before the answer, as dockerd does
        try:
            await _remove_if_down(engine, container)
        except OnggiError as left:
            log.error("container %s: %s", container.id, left.message)


def _has_network(record: ContainerRecord) -> bool:
    return bool(record.asked_endpoints) and not record.config.network_disabled


async def _hold_users(engine: Engine, record: ContainerRecord) -> Held | None:
    """The user namespace, where a network must be made in it before the container is there."""
    if record.id_maps is None or not _has_network(record):
        return None
    return await hold(engine, record.id_maps)


async def _attach_network(engine: Engine, container: Container, held: Held | None) -> Attachment | None:
    if not _has_network(container.record):
        return None
    network = await network_attach.attach(engine, container.record, held.sandbox if held else None)
    container.update(endpoints=network.endpoints, ports=network.ports, sandbox_id=token_hex(32))
    return network


def _prepare(
    engine: Engine, record: ContainerRecord, network: Attachment | None, userns_path: str
) -> dict[str, object]:
    """Blocking: the files of /etc, and the plan of this run. Raises InvalidParameter, Conflict, System."""
    if not record.host_config.network_mode.startswith("container:"):
        directory = engine.paths.container_dir(record.id)
        network_hosts.write(engine, directory, record, resolver=network is not None and network.resolver)
    return _compile(engine, record, network, userns_path)


def _compile(
    engine: Engine, record: ContainerRecord, network: Attachment | None, userns_path: str
) -> dict[str, object]:
    """Blocking: the plan of this run. Raises InvalidParameter, Conflict, System."""
    make_bind_sources(record.mounts)
    engine.quotas.hold(record)
    root_mounts = init_layer.mounts(engine, record)
    if record.id_maps is not None:
        root_mounts = [(*each[:6], record.id_maps.text(), each[7]) for each in root_mounts]
    user = image_users.of_container(engine, record, record.config.user, record.host_config.group_add)
    secrets = placing.placed(engine, record)
    facts = document.Facts(
        rootfs=engine.paths.rootfs(record.id),
        cgroups_path=run_paths.cgroup(engine, record),
        user=user,
        hostname=run_joins.hostname(engine, record),
        etc=etc_files.mounts(run_joins.etc_dir(engine, record)),
        mounts=(*mount_sources.shown(engine, record, (user.uid, user.gid)), *secrets.mounts),
        linked=tuple(links.environment(engine, record)),
        environment=secrets.environment,
        joined=run_joins.joined(engine, record, network.netns_path if network else "", userns_path),
        shm_path=run_joins.shm_path(engine, record),
        init=run_joins.init(engine, record),
        id_maps=record.id_maps,
        last_group=ids.last(ids.GIDS),
        apparmor=apparmor.of_container(record.host_config),
        limited=engine.quotas.limits(record),
    )
    apparmor.ensure(facts.apparmor)
    wanted = document.document(record, facts, engine.config)
    if record.host_config.device_requests:
        edits.inject(wanted, record.host_config.device_requests, engine.config.cdi_directories)
        if "hooks" in wanted:  # vendors' hooks look the root up in their bundle (runtime.md, State)
            edits.write_bundle(engine.paths.container_dir(record.id), wanted)
    plan = _plan(engine, record, wanted, root_mounts, secrets.staged)
    stdio.give(plan, record.id_maps, wanted["process"])
    if record.host_config.security_learn:
        learned.ask(plan, learned.path(engine, record.id))
    return plan


def _plan(
    engine: Engine,
    record: ContainerRecord,
    wanted: dict[str, Any],
    root_mounts: list[Mount],
    staged: tuple[Step, ...],
) -> dict[str, Any]:
    """By ourselves, or by another runtime."""
    if record.runtime:
        _name_program(engine, record, wanted["process"])
        return compile.foreign(
            wanted,
            container_id=record.id,
            runtime=record.runtime,
            state_dir=engine.paths.runtime_state(record.host_config.runtime or ""),
            place=runtimes.place(engine.paths, record),
            root_mounts=root_mounts,
            staged=staged,
            layout=engine.cgroups,
        )
    return compile.container(
        wanted,
        container_id=record.id,
        bundle_dir=engine.paths.container_dir(record.id),
        root_mounts=root_mounts,
        staged=staged,
        layout=engine.cgroups,
    )


def _name_program(engine: Engine, record: ContainerRecord, process: dict[str, Any]) -> None:
    """The reaper is given a path, and another runtime looks for none but the reaper."""
    if process["args"][0] != reaper.TARGET:
        return
    root_fd = view.open_root(init_layer.seen(engine, record))
    try:
        path = executables.find(root_fd, process["args"][2], process["env"])
    finally:
        os.close(root_fd)
    process["args"].insert(2, path)


def _stdio(record: ContainerRecord) -> Stdio:
    size = record.host_config.console_size or [0, 0]
    return Stdio(
        terminal=record.config.tty,
        stdin=record.config.open_stdin,
        stdin_once=record.config.stdin_once,
        rows=size[0],
        columns=size[1],
    )


def _oom_dir(engine: Engine, record: ContainerRecord) -> str:
    if not engine.cgroups.has("memory"):
        return ""
    return engine.cgroups.directory("memory", run_paths.cgroup(engine, record))


def watch(engine: Engine, container: Container) -> None:
    """Wait for the end of the run that the container's shim supervises, and see to its health."""
    shim = container.shim
    assert shim is not None
    shim.on_oom = lambda: engine.events.container("oom", container.record)
    container.run_task = engine.task(_watch(engine, container, shim), f"run {container.id[:12]}")
    health.begin(engine, container)


async def _watch(engine: Engine, container: Container, shim: Shim) -> None:
    try:
        record = await shim.exited
        while not await _recorded(engine, container, record):  # noqa: ASYNC110
            await asyncio.sleep(RETRY_SECONDS)  # nothing tells when a full disk has room again
        await shim.ended  # it goes when its clients have got their last byte
    finally:
        shim.disconnect()


async def _recorded(engine: Engine, container: Container, exit_: ExitRecord) -> bool:
    """Was the end taken note of? A full disk is no reason to call a container running that has ended."""
    async with container.lock:
        try:
            if not container.removed:
                await ended(engine, container, exit_)
        except (OnggiError, OSError) as error:
            log.error("container %s: its end cannot be recorded, trying again: %s", container.id, error)
            return False
    return True


async def ended(engine: Engine, container: Container, exit_: ExitRecord) -> None:
    """Take note of a run's end; the lock is held. Called again, it goes on where it failed.

    Commit point: the row with status exited or restarting. Failpoints: exit.network-detached,
    exit.row-written, exit.auto-remove.
    """
    health.end(container)
    undone = container.shim is not None and container.shim.undone
    container.shim = None
    await network_detach.detach(engine, container.record)
    if not undone or container.record.host_config.ipc_mode == "shareable":
        await engine.offload(_clean_up, engine, container.record)
    await mounted.release_all(engine, container.record)
    failpoints.hit("exit.network-detached")
    before = container.record
    delay = restart_policy.delay(before, exit_)
    container.update(
        status=after(container.status, Event.EXIT if delay is None else Event.EXIT_TO_RESTART),
        pid=0,
        root_pid=0,
        runtime=(),
        exit_code=exit_.exit_code,
        oom_killed=exit_.oom_killed,
        finished_at=exit_.finished_at,
        error=exit_.error,
        **network_detach.cleared(container.record),
    )
    _note_use(engine, container.record, exit_.finished_at)
    failpoints.hit("exit.row-written")
    lasted = max(0, exit_.finished_at - container.record.started_at) // clock.SECOND
    run_events.ended(engine, container.record, before, lasted)
    container.tell_exit(Exit(exit_code=exit_.exit_code, error=exit_.error))
    if delay is not None:
        restart_policy.schedule(engine, container, delay)
    elif container.record.host_config.auto_remove and not container.keep_once:
        engine.task(_auto_remove(engine, container), f"remove {container.id[:12]}")


def _note_use(engine: Engine, record: ContainerRecord, at: int) -> None:
    """Of its image. Behind a commit point: that this cannot be written is no fault of the run."""
    try:
        image_rows.used(engine.database, record.image_id, at)
    except (OnggiError, OSError) as error:
        log.warning("the last use of image %s is not noted: %s", record.image_id, error)


async def _auto_remove(engine: Engine, container: Container) -> None:
    failpoints.hit("exit.auto-remove")
    async with container.lock:
        await _remove_if_down(engine, container)


async def _remove_if_down(engine: Engine, container: Container) -> None:
    """The lock is held. Raises System."""
    from onggi.engine.containers.remove import remove_stopped  # remove.py stops containers: it imports us

    if not container.removed and container.status in (Status.CREATED, Status.EXITED, Status.DEAD):
        await remove_stopped(engine, container, volumes=True)


def _clean_up(engine: Engine, record: ContainerRecord) -> None:
    """What a run leaves on the host: its cgroup, where the shim has not removed it, and a shared shm."""
    run_paths.clear(engine, record)
    shm = f"{engine.paths.container_dir(record.id)}/shm"
    if os.path.ismount(shm):
        kernel_mounts.umount2(shm, kernel_mounts.MNT_DETACH)
