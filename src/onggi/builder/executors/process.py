"""RUN: a process in a container of this engine, on the stage's tree; what it changes becomes a layer.

    containers/ID/      no row owns it: reconcile removes what a crash leaves of a step, and kills its shim
        rootfs/         where the step's tree is mounted, in its own mount namespace
        over/           places for mounts that the tree does not have (images/places.py)
        mounts/N/       where trees, secrets and sockets of --mount are staged, seen by the step alone

A step has the engine's default network, resolver, seccomp profile and capabilities, as every container has.
Cancelling kills its first process, and with it all of its PID namespace.
Commit point: the layer's row (images/layers.py). Failpoints: process.prepared, process.exited.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from typing import TYPE_CHECKING, Any

import msgspec

from onggi import failpoints
from onggi.builder import entitlements
from onggi.builder.executors import emulation, failed
from onggi.builder.executors.made import Made
from onggi.builder.executors.step_mounts import StepMounts
from onggi.builder.graph import Exec, Vertex
from onggi.builder.solver.results import Result
from onggi.engine import apparmor, clock, image_users, run_joins, run_paths, start_errors
from onggi.engine.cdi import catalog, edits
from onggi.engine.containers import defaults, etc_files
from onggi.engine.networks import attach as network_attach
from onggi.engine.networks import configure
from onggi.engine.networks import detach as network_detach
from onggi.engine.networks import hosts as network_hosts
from onggi.engine.oci import document
from onggi.engine.oci.mounts import Shown
from onggi.engine.offload import to_the_end
from onggi.engine.record import ContainerRecord, MountRecord
from onggi.engine.shims import AttachOptions, Stdio
from onggi.engine.userns import stdio
from onggi.engine.userns.held import Held, hold
from onggi.errors import Conflict, InvalidParameter, OnggiError
from onggi.images import places
from onggi.images.layers import commit_layer
from onggi.kernel import ids
from onggi.runtime import compile
from onggi.spawn.plan import StepFailed
from onggi.wire.containers import (
    ContainerConfig,
    ContainerCreateRequest,
    DeviceRequest,
    HostConfig,
    HostConfigUlimits,
)

if TYPE_CHECKING:
    from onggi.builder.solver.job import Job
    from onggi.engine.networks.attach import Attachment
    from onggi.engine.shims import Attached, ExitRecord, Shim

HEADER_BYTES = 8  # of a frame: stream, three zeros, length; Docker's multiplexed stream
HOSTNAME = (
    "buildkitsandbox"  # as BuildKit calls it: one that changed would be found again in what steps write
)
KILLED = 128 + signal.SIGKILL


class ProcessFailed(OnggiError):
    """A step's process ended with a code that it must not end with."""

    def __init__(self, args: tuple[str, ...], exit_code: int, *, out_of_memory: bool = False) -> None:
        why = ": cannot allocate memory" if out_of_memory else ""
        super().__init__(
            f'process "{" ".join(args)}" did not complete successfully: exit code: {exit_code}{why}'
        )
        self.args_text = " ".join(args)
        self.exit_code = exit_code
        self.kept = ""  # the id of what the step left (failed.py)


async def run(job: Job, vertex: Vertex, op: Exec, inputs: list[Result | None]) -> Made:
    """Run it to its end. Raises ProcessFailed, StartFailed, InvalidParameter, Forbidden, NotFound, System."""
    emulation.check(vertex.platform, vertex.meta.name or "RUN")
    async with job.builder.processes:
        step = Step(job, vertex, op, inputs)
        try:
            await step.prepare()
            failpoints.hit("process.prepared")
            await step.execute()
            failpoints.hit("process.exited")
            return await job.builder.work(step.commit)
        except ProcessFailed as error:
            error.kept = await failed.keep(step)
            raise
        finally:
            await to_the_end(step.close())


class Step:
    """One process, with everything that it has on the host until close(). `terminal`: it gets one."""

    def __init__(
        self, job: Job, vertex: Vertex, op: Exec, inputs: list[Result | None], *, terminal: bool = False
    ) -> None:
        self.job = job
        self.engine = job.engine
        self.vertex = vertex
        self.op = op
        self.inputs = inputs
        self.id = secrets.token_hex(32)
        self.directory = self.engine.paths.container_dir(self.id)
        self.mounts = StepMounts(job, op, inputs, self.directory)
        self.record: ContainerRecord | None = None
        self._terminal = terminal
        self._network: Attachment | None = None
        self._maps = None if op.security == "insecure" else self.engine.remapped
        self._held: Held | None = None
        self._shim: Shim | None = None
        self._starting: asyncio.Task[object] | None = None
        self.places: list[tuple[bytes, bool]] = []
        self.made_in_tree = False

    # -- before

    async def prepare(self) -> None:
        await self.job.builder.work(self._directories)
        await self.mounts.open()
        self._refuse_remapped()
        self.record = await self.job.builder.work(self._record)
        self._shim = await self.engine.zygote.spawn(self.id)
        if self.record.asked_endpoints:
            if self._maps is not None:
                self._held = await hold(self.engine, self._maps)
            sandbox = self._held.sandbox if self._held else None
            self._network = await network_attach.attach(self.engine, self.record, sandbox)
            self.record = msgspec.structs.replace(self.record, endpoints=self._network.endpoints)

    def _refuse_remapped(self) -> None:
        """What a step in a user namespace cannot have. Raises InvalidParameter."""
        if self._maps is None:
            return
        if self.op.network == "host":
            raise InvalidParameter(
                "cannot share the host's network namespace when user namespaces are enabled"
            )

    def _directories(self) -> None:
        os.mkdir(self.directory, 0o710)
        os.mkdir(f"{self.directory}/rootfs", 0o755)
        os.mkdir(f"{self.directory}/over", 0o755)
        os.chmod(f"{self.directory}/over", 0o755)

    def _record(self) -> ContainerRecord:
        """The step as a container that has no row. Blocking. Raises InvalidParameter."""
        op = self.op
        host = defaults.host(self._host(), self.engine.config, cgroup_v2=self.engine.cgroups.mode == "v2")
        return ContainerRecord(
            id=self.id,
            name=f"build-{self.id[:12]}",
            created_at=clock.now(),
            image_id="",
            image_name=self.vertex.meta.name,
            config=ContainerConfig(
                hostname=op.hostname or HOSTNAME,
                user=op.user,
                env=self._environment(),
                cmd=list(op.args),
                tty=self._terminal,
                open_stdin=self._terminal,
                working_dir=op.cwd,
            ),
            host_config=host,
            mounts=tuple(self.mounts.records),
            asked_endpoints=configure.endpoints(self.engine, ContainerCreateRequest(), host),
        )

    def _host(self) -> HostConfig:
        op, limits = self.op, self.job.options.limits
        network = {"host": "host", "none": "none"}.get(op.network, self.job.options.network)
        return msgspec.structs.replace(
            limits,
            network_mode=network,
            extra_hosts=[*limits.extra_hosts, *(f"{name}:{address}" for name, address in op.extra_hosts)],
            shm_size=op.shm_bytes or limits.shm_size,
            cgroup_parent=op.cgroup_parent or limits.cgroup_parent,
            ulimits=[*limits.ulimits, *(HostConfigUlimits(name=n, soft=s, hard=h) for n, s, h in op.ulimits)],
            privileged=op.security == "insecure",
            readonly_rootfs=self.mounts.root.read_only,
        )

    def _environment(self) -> list[str]:
        """The step's variables; a proxy that the Dockerfile did not set itself; values of secrets."""
        names = {item.partition("=")[0] for item in self.op.env}
        proxies = [f"{name}={value}" for name, value in self.op.proxy if name not in names]
        return [*proxies, *self.op.env, *self.mounts.secret_environment]

    # -- its life

    async def execute(self) -> None:
        """Raises ProcessFailed, StartFailed; on cancellation the process is dead when this returns."""
        assert self._shim is not None
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                await self.start(theirs, b"", AttachOptions(), Stdio())
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()
            raise
        try:
            await self._read(reader)
            self._judge(await asyncio.shield(self._shim.exited))
        finally:
            writer.close()

    async def start(
        self, client: socket.socket, early: bytes, options: AttachOptions, stdio: Stdio
    ) -> Attached:
        """Start the process, with a client at its streams. Raises StartFailed, InvalidParameter, OSError."""
        assert self._shim is not None
        plan = await self.job.builder.work(self._plan)
        attached = await self._shim.attach(client, early, options)
        start = self._shim.start(plan, stdio, log=None, oom_dir=self._oom_dir())
        self._starting = asyncio.create_task(start)
        try:
            await asyncio.shield(self._starting)
        except StepFailed as error:
            raise start_errors.start_failed(error, self.op.args[0], self.op.cwd) from None
        return attached

    async def resize(self, rows: int, columns: int) -> None:
        """Set the size of its terminal. Raises Conflict."""
        if self._shim is None or not self._shim.pid:
            raise Conflict("the process has not begun")
        await self._shim.resize(rows, columns)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """What the process writes, until nobody holds its streams any more."""
        while True:
            try:
                header = await reader.readexactly(HEADER_BYTES)
                data = await reader.readexactly(int.from_bytes(header[4:], "big"))
            except (asyncio.IncompleteReadError, ConnectionResetError):
                return
            self.job.output(self.vertex, header[0], data)
            await self.job.room()

    def _judge(self, exit_: ExitRecord) -> None:
        code = exit_.exit_code
        if self.op.valid_exit_codes and code not in self.op.valid_exit_codes:
            raise ProcessFailed(self.op.args, code, out_of_memory=exit_.oom_killed and code == KILLED)

    def _oom_dir(self) -> str:
        assert self.record is not None
        if not self.engine.cgroups.has("memory"):
            return ""
        return self.engine.cgroups.directory("memory", run_paths.cgroup(self.engine, self.record))

    def _plan(self) -> dict[str, object]:
        """Blocking: places of mounts, files of /etc, the plan. Raises InvalidParameter, Conflict, OSError."""
        record, engine, network = self.record, self.engine, self._network
        assert record is not None
        if not record.host_config.network_mode.startswith("container:"):
            network_hosts.write(
                engine, self.directory, record, resolver=network is not None and network.resolver
            )
        root = self.mounts.root
        self.places = places.missing(root.fd, [*places.ENGINES, *self.mounts.targets])
        over = ""
        if self.engine.snapshots.stackable:
            over = f"{self.directory}/over"
            places.make_over(root.fd, over, self.places)
        else:
            self.made_in_tree = True
        facts = document.Facts(
            rootfs=engine.paths.rootfs(self.id),
            cgroups_path=run_paths.cgroup(engine, record),
            user=image_users.of_root(root.fd, record.config.user, ()),
            hostname=run_joins.hostname(engine, record),
            etc=etc_files.mounts(run_joins.etc_dir(engine, record)),
            mounts=tuple(self._shown(one) for one in record.mounts),
            joined=run_joins.joined(
                engine, record, network.netns_path if network else "", self._held.path if self._held else ""
            ),
            id_maps=self._maps,
            last_group=ids.last(ids.GIDS),
            apparmor=apparmor.of_container(record.host_config),
        )
        apparmor.ensure(facts.apparmor)
        root_mounts = engine.snapshots.mounts(root.key, over=over)
        if self._maps is not None:
            root_mounts = [(*each[:6], self._maps.text(), each[7]) for each in root_mounts]
        wanted = document.document(record, facts, engine.config)
        if self.op.devices:
            self._give_devices(wanted)
        plan = compile.container(
            wanted,
            container_id=self.id,
            bundle_dir=self.directory,
            root_mounts=root_mounts,
            staged=self.mounts.steps,
            layout=engine.cgroups,
        )
        stdio.give(plan, self._maps, wanted["process"])
        return plan

    def _give_devices(self, wanted: dict[str, Any]) -> None:
        """Raises NotFound, Forbidden, System."""
        directories = self.engine.config.cdi_directories
        names = entitlements.devices(
            self.job.options.entitlements, self.op.devices, catalog.read(directories)
        )
        edits.inject(wanted, [DeviceRequest(driver="cdi", device_ids=names)], directories)
        if "hooks" in wanted:
            edits.write_bundle(self.directory, wanted)

    def _shown(self, record: MountRecord) -> Shown:
        """Caches and folders have on disk the ids that steps see."""
        if self._maps is None:
            return Shown(record=record)
        return Shown(record=record, uid_map=self._maps.uids, gid_map=self._maps.gids)

    # -- after

    def commit(self) -> Made:
        """Every tree that is offered, as layers. Blocking."""
        if self.made_in_tree:
            places.remove_made(self.mounts.root.fd, self.places)
        outputs: dict[int, Result] = {}
        size = 0
        for tree in self.mounts.take_outputs():
            made = commit_layer(
                self.engine.images,
                tree.key,
                keep_blob=self.vertex.digest in self.job.exported,
                pin=self.job.pin,
            )
            outputs[tree.output] = tree.base if made is None else tree.base.on(made.layer)
            size += 0 if made is None else made.disk_bytes
        return Made(outputs, size)

    async def close(self) -> None:
        """Nothing of it is left when this returns."""
        if self._shim is not None:
            await self._end(self._shim)
        if self._network is not None:
            self._network.sandbox.close()
        if self._held is not None:
            self._held.close()
        if self.record is not None:
            await network_detach.detach(self.engine, self.record)
        await self.mounts.close()
        await self.job.builder.work(self._clean_up)

    async def _end(self, shim: Shim) -> None:
        if self._starting is not None:  # cancelled before the answer came: the process may run already
            await asyncio.gather(self._starting, return_exceptions=True)
        if not shim.pid:
            await shim.quit()
        elif not shim.exited.done():
            try:
                await shim.signal(signal.SIGKILL)
            except OnggiError:
                pass  # it has ended meanwhile
            await shim.exited
        await shim.ended
        shim.disconnect()

    def _clean_up(self) -> None:
        if self.record is not None and not (self._shim is not None and self._shim.undone):
            group = run_paths.group(self.engine, self.record)
            if group.exists():
                run_paths.kill(self.engine, self.record)
                group.remove()
        self.mounts.discard()
        self.engine.trash.throw(self.directory)
