"""RUN: a process in a container of this engine, on the stage's tree; what it changes becomes a layer.

    containers/ID/      no row owns it: reconcile removes what a crash leaves of a step, and kills its shim
        rootfs/         where the step's tree is mounted, in its own mount namespace
        over/           places for mounts that the tree does not have (mount_points.py)
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
from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints
from onggi.builder.executors import mount_points
from onggi.builder.executors.made import Made
from onggi.builder.executors.step_mounts import StepMounts
from onggi.builder.graph import Exec, Vertex
from onggi.builder.solver.results import Result
from onggi.engine import clock, image_users, run_joins, run_paths, start_errors
from onggi.engine.containers import defaults, etc_files
from onggi.engine.networks import attach as network_attach
from onggi.engine.networks import configure
from onggi.engine.networks import detach as network_detach
from onggi.engine.networks import hosts as network_hosts
from onggi.engine.oci import document
from onggi.engine.oci.mounts import Shown
from onggi.engine.record import ContainerRecord
from onggi.engine.shims import AttachOptions, Stdio
from onggi.errors import Forbidden, InvalidParameter, OnggiError
from onggi.images.layers import commit_layer
from onggi.runtime import cgroups, compile
from onggi.spawn.plan import StepFailed
from onggi.wire.containers import ContainerConfig, ContainerCreateRequest, HostConfig, HostConfigUlimits

if TYPE_CHECKING:
    from onggi.builder.solver.job import Job
    from onggi.engine.networks.attach import Attachment
    from onggi.engine.shims import ExitRecord, Shim

HEADER_BYTES = 8  # of a frame: stream, three zeros, length; Docker's multiplexed stream
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


async def run(job: Job, vertex: Vertex, op: Exec, inputs: list[Result | None]) -> Made:
    """Run it to its end. Raises ProcessFailed, StartFailed, InvalidParameter, Forbidden, NotFound."""
    _allow(job, op)
    async with job.builder.processes:
        step = _Step(job, vertex, op, inputs)
        try:
            await step.prepare()
            failpoints.hit("process.prepared")
            await step.execute()
            failpoints.hit("process.exited")
            return await job.builder.work(step.commit)
        finally:
            await asyncio.shield(step.close())


def _allow(job: Job, op: Exec) -> None:
    for name, wanted in (
        ("network.host", op.network == "host"),
        ("security.insecure", op.security == "insecure"),
    ):
        if wanted and name not in job.options.entitlements:
            raise Forbidden(f"{name} is not allowed")
    if op.devices:
        raise InvalidParameter(f"device {op.devices[0].name}: this engine has no CDI devices")


class _Step:
    """One process, with everything that it has on the host until close()."""

    def __init__(self, job: Job, vertex: Vertex, op: Exec, inputs: list[Result | None]) -> None:
        self.job = job
        self.engine = job.engine
        self.vertex = vertex
        self.op = op
        self.inputs = inputs
        self.id = secrets.token_hex(32)
        self.directory = self.engine.paths.container_dir(self.id)
        self.mounts = StepMounts(job, op, inputs, self.directory)
        self.record: ContainerRecord | None = None
        self._network: Attachment | None = None
        self._shim: Shim | None = None
        self._places: list[tuple[bytes, bool]] = []
        self._made_in_tree = False

    # -- before

    async def prepare(self) -> None:
        await self.job.builder.work(self._directories)
        await self.mounts.open()
        self.record = await self.job.builder.work(self._record)
        self._shim = await self.engine.zygote.spawn(self.id)
        if self.record.asked_endpoints:
            self._network = await network_attach.attach(self.engine, self.record)
            self.record = msgspec.structs.replace(self.record, endpoints=self._network.endpoints)

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
                hostname=op.hostname or self.id[:12],
                user=op.user,
                env=self._environment(),
                cmd=list(op.args),
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
        assert self.record is not None and self._shim is not None
        plan = await self.job.builder.work(self._plan)
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                await self._shim.attach(theirs, b"", AttachOptions())
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()
            raise
        try:
            try:
                await self._shim.start(plan, Stdio(), log=None, oom_dir=self._oom_dir())
            except StepFailed as error:
                raise start_errors.start_failed(error, self.op.args[0], self.op.cwd) from None
            await self._read(reader)
            self._judge(await asyncio.shield(self._shim.exited))
        finally:
            writer.close()

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
        self._places = mount_points.missing(root.fd, [*mount_points.ENGINES, *self.mounts.targets])
        over = ""
        if self.engine.snapshots.stackable:
            over = f"{self.directory}/over"
            mount_points.make_over(root.fd, over, self._places)
        else:
            self._made_in_tree = True
        facts = document.Facts(
            rootfs=engine.paths.rootfs(self.id),
            cgroups_path=run_paths.cgroup(engine, record),
            user=image_users.of_root(root.fd, record.config.user, ()),
            hostname=run_joins.hostname(engine, record),
            etc=etc_files.mounts(run_joins.etc_dir(engine, record)),
            mounts=tuple(Shown(record=one) for one in record.mounts),
            joined=run_joins.joined(engine, record, network.netns_path if network else ""),
        )
        return compile.container(
            document.document(record, facts, engine.config),
            container_id=self.id,
            bundle_dir=self.directory,
            root_mounts=engine.snapshots.mounts(root.key, over=over),
            staged=self.mounts.steps,
            layout=engine.cgroups,
        )

    # -- after

    def commit(self) -> Made:
        """Every tree that is offered, as layers. Blocking."""
        if self._made_in_tree:
            mount_points.remove_made(self.mounts.root.fd, self._places)
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
        if self.record is not None:
            await network_detach.detach(self.engine, self.record)
        await self.mounts.close()
        await self.job.builder.work(self._clean_up)

    async def _end(self, shim: Shim) -> None:
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
            group = cgroups.open(self.engine.cgroups, run_paths.cgroup(self.engine, self.record))
            if group.exists():
                run_paths.kill(self.engine, self.record)
                group.remove()
        self.mounts.discard()
        self.engine.trash.throw(self.directory)
