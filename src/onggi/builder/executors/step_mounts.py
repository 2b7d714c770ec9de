"""The mounts of one RUN: which trees it sees, writes to and offers, and where on the host they are staged.

    root, writable bind    an active snapshot on the input's layers; offered, or thrown away
    read-only bind         the input as it lies: a folder, or its layers as an overlay that is staged
    cache                  a directory of the build cache (cache/mounts.py)
    tmpfs                  new and empty
    secret                 a file of a tmpfs that exists in the step's mount namespace alone
    ssh                    a socket that leads to the client's agent (agents.py)

A path inside a tree (`source`) is resolved below the tree's root before it becomes a path of the host's, so
that no link of an image leads out of it; the trees do not change while a build has them.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import msgspec

from onggi.builder.cache import mounts as cache_mounts
from onggi.builder.executors.agents import Agent
from onggi.builder.executors.files import as_stack
from onggi.builder.graph import Bind, Cache, Exec, Secret, Ssh, Tmpfs
from onggi.builder.solver.results import EMPTY, Folder, Result, Stack
from onggi.engine.record import MountRecord
from onggi.errors import InvalidParameter, NotFound
from onggi.images import view
from onggi.images.archive import follow
from onggi.images.places import Target
from onggi.images.snapshots.protocol import Mount
from onggi.images.tree import RESOLVE
from onggi.kernel import mounts as kernel
from onggi.kernel.files import openat2
from onggi.spawn import plan

if TYPE_CHECKING:
    from onggi.builder.graph import AnyMount
    from onggi.builder.solver.job import Job
    from onggi.spawn.plan import Step

SECRET_TMPFS = "mode=0755,size=1m"
SECRET_MAX_BYTES = 500 << 10


class Tree(msgspec.Struct):
    """An active snapshot that the step writes to. `output` -1: thrown away."""

    key: str
    base: Stack
    output: int
    fd: int
    read_only: bool


class StepMounts:
    """Owns what it opened until close() and discard()."""

    def __init__(self, job: Job, op: Exec, inputs: list[Result | None], directory: str) -> None:
        self._job = job
        self._op = op
        self._inputs = inputs
        self._directory = f"{directory}/mounts"
        self._stack = AsyncExitStack()
        self._trees: list[Tree] = []
        self._secrets = 0
        self.records: list[MountRecord] = []
        self.targets: list[Target] = []
        self.steps: list[Step] = []
        self.secret_environment: list[str] = []

    @property
    def root(self) -> Tree:
        return self._trees[0]

    async def open(self) -> None:
        """Raises NotFound (a secret, a path), InvalidParameter, OSError."""
        work = self._job.builder.work
        os.mkdir(self._directory, 0o711)
        ordered = sorted(self._op.mounts, key=lambda one: one.target != "/")
        if not ordered or ordered[0].target != "/":
            raise InvalidParameter("a process needs a tree to run on")
        root = ordered[0]
        await work(self._tree, self._input(root), root.output, read_only=root.read_only)
        for number, each in enumerate(ordered[1:]):
            match each:
                case Bind():
                    await work(self._bind, each, number)
                case Cache():
                    await self._cache(each)
                case Tmpfs():
                    size = f",size={each.size_bytes}" if each.size_bytes else ""
                    self._add(
                        MountRecord(
                            type="tmpfs", source="", target=each.target, tmpfs_data=f"nosuid,nodev{size}"
                        )
                    )
                case Secret():
                    await self._secret(each)
                case Ssh():
                    await self._ssh(each, number)
        for one in self._op.secret_env:
            value = await self._value(one.id, optional=one.optional)
            if value is not None:
                self.secret_environment.append(f"{one.name}={value.decode('utf-8', 'surrogateescape')}")

    def take_outputs(self) -> list[Tree]:
        """The trees that are offered; whoever takes them commits them."""
        taken = [tree for tree in self._trees if tree.output >= 0]
        self._trees = [tree for tree in self._trees if tree.output < 0]
        for tree in taken:
            os.close(tree.fd)
        return taken

    def take_root(self) -> Tree:
        """The tree of a process that failed; whoever takes it closes it, and commits it or removes it."""
        return self._trees.pop(0)

    async def close(self) -> None:
        """Let go of caches and agents."""
        await self._stack.aclose()

    def discard(self) -> None:
        """Remove the trees that nobody took. Blocking."""
        for tree in self._trees:
            os.close(tree.fd)
            self._job.engine.snapshots.remove(tree.key)
        self._trees.clear()

    # -- trees

    def _input(self, each: AnyMount) -> Result:
        found = self._inputs[each.input] if each.input >= 0 else None
        return found or EMPTY

    def _tree(self, base: Result, output: int, *, read_only: bool) -> Tree:
        stack = as_stack(self._job, base)
        key = f"build-{secrets.token_hex(8)}"
        snapshots = self._job.engine.snapshots
        snapshots.create(key, stack.top, "build")
        try:
            fd = view.open_root(snapshots.mounts(key))
        except BaseException:
            snapshots.remove(key)
            raise
        tree = Tree(key, stack, output, fd, read_only)
        self._trees.append(tree)
        return tree

    def _bind(self, each: Bind, number: int) -> None:
        base = self._input(each)
        if isinstance(base, Folder) and each.read_only:
            self._show(each, base.path, self._job.views.root(base))
            return
        snapshots = self._job.engine.snapshots
        if each.read_only and each.output < 0:
            assert isinstance(base, Stack)
            self._stage(each, number, snapshots.view(base.top), self._job.views.root(base))
            return
        tree = self._tree(base, each.output, read_only=False)
        self._stage(each, number, snapshots.mounts(tree.key), tree.fd)

    def _stage(self, each: Bind, number: int, mounts: Sequence[Mount], root_fd: int) -> None:
        place = f"{self._directory}/{number}"
        os.mkdir(place, 0o711)
        self.steps += [("stage", place, one) for one in mounts]
        self._show(each, place, root_fd)

    def _show(self, each: Bind, path: str, root_fd: int) -> None:
        """Bind what lies at `source` of a tree that is at `path`."""
        below = follow(root_fd, os.fsencode(each.source.strip("/")))
        try:
            fd = openat2(root_fd, below or b".", os.O_PATH, resolve=RESOLVE)
        except FileNotFoundError:
            raise NotFound(f"{each.source}: not found") from None
        try:
            is_dir = os.path.isdir(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        source = f"{path}/{os.fsdecode(below)}".rstrip("/")
        record = MountRecord(type="bind", source=source, target=each.target, read_only=each.read_only)
        self._add(record, is_dir=is_dir)

    def _add(self, record: MountRecord, *, is_dir: bool = True) -> None:
        self.records.append(record)
        self.targets.append((record.target, is_dir))

    async def _cache(self, each: Cache) -> None:
        path = await self._stack.enter_async_context(cache_mounts.opened(self._job, each, self._inputs))
        self._add(MountRecord(type="bind", source=path, target=each.target, read_only=each.read_only))

    # -- secrets and agents

    async def _value(self, id: str, *, optional: bool) -> bytes | None:
        try:
            value = await self._job.client.secret(id)
        except NotFound:
            if optional:
                return None
            raise
        if len(value) > SECRET_MAX_BYTES:
            raise InvalidParameter(f"secret {id}: {len(value)} bytes are more than {SECRET_MAX_BYTES}")
        return value

    async def _secret(self, each: Secret) -> None:
        value = await self._value(each.id, optional=each.optional)
        if value is None:
            return
        place = f"{self._directory}/secret{self._secrets}"
        self._secrets += 1
        os.mkdir(place, 0o711)
        flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        self.steps.append(("stage", place, plan.mount("tmpfs", "/", "tmpfs", flags, SECRET_TMPFS)))
        self.steps.append(("secret-file", f"{place}/value", value, each.mode, each.uid, each.gid))
        self._add(
            MountRecord(type="bind", source=f"{place}/value", target=each.target, read_only=True),
            is_dir=False,
        )

    async def _ssh(self, each: Ssh, number: int) -> None:
        try:
            probe = await self._job.client.ssh(each.id)
        except NotFound:
            if each.optional:
                return
            raise
        probe.close()
        agent = Agent(self._job.client, each.id, f"{self._directory}/agent{number}")
        await self._stack.enter_async_context(agent)
        os.chown(agent.path, each.uid, each.gid)
        os.chmod(agent.path, each.mode)
        self._add(MountRecord(type="bind", source=agent.path, target=each.target), is_dir=False)
