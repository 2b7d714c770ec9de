"""File actions: copies, new files and directories, links, removals; each changed tree becomes one layer.

Actions form lines: an action whose tree only the next action reads goes on in the same snapshot, so that a
COPY of five sources is one layer. Where a tree is an output, or several actions start from it, the line is
committed there and a new one begins on it.
Blocking; one call for a whole vertex, in a thread of the builder's.
"""

from __future__ import annotations

import errno
import os
import secrets
from typing import TYPE_CHECKING

from onggi.builder.executors import select
from onggi.builder.executors.copying import Copier, make_directory
from onggi.builder.executors.made import Made
from onggi.builder.executors.unpacking import unpack
from onggi.builder.graph import (
    Action,
    CopyAction,
    FileOp,
    MakeDirectory,
    MakeFile,
    Owner,
    Remove,
    Symlink,
    Vertex,
)
from onggi.builder.solver.results import EMPTY, Result, Stack
from onggi.errors import InvalidParameter, NotFound
from onggi.images import view
from onggi.images.accounts import resolve_user
from onggi.images.layers import commit_layer
from onggi.images.tree import RESOLVE, descriptor_path, lookup, remove
from onggi.kernel.files import openat2

if TYPE_CHECKING:
    from onggi.builder.solver.job import Job


class _Line:
    """An active snapshot that actions are at work on. Owns it and its root until it is committed."""

    def __init__(self, job: Job, base: Stack) -> None:
        self._job = job
        self.base = base
        self.key = f"build-{secrets.token_hex(8)}"
        snapshots = job.engine.snapshots
        snapshots.create(self.key, base.top, "build")
        try:
            self.root_fd = view.open_root(snapshots.mounts(self.key))
        except BaseException:
            snapshots.remove(self.key)
            raise

    def commit(self, *, keep_blob: bool) -> tuple[Stack, int]:
        """The tree as a stack, and what it newly takes on disk."""
        self._close()
        made = commit_layer(self._job.engine.images, self.key, keep_blob=keep_blob, pin=self._job.pin)
        self.key = ""
        return (self.base, 0) if made is None else (self.base.on(made.layer), made.disk_bytes)

    def discard(self) -> None:
        self._close()
        if self.key:
            self._job.engine.snapshots.remove(self.key)
            self.key = ""

    def _close(self) -> None:
        if self.root_fd >= 0:
            os.close(self.root_fd)
            self.root_fd = -1


def run(job: Job, vertex: Vertex, op: FileOp, inputs: list[Result | None]) -> Made:
    """Carry out the actions. Raises NotFound, InvalidParameter, NoSpace, OSError."""
    work = _Work(job, vertex, op, inputs)
    try:
        for number, action in enumerate(op.actions):
            work.act(number, action)
        return Made(work.outputs, work.disk_bytes)
    finally:
        work.close()


def as_stack(job: Job, result: Result | None, *, keep_blob: bool = False) -> Stack:
    """A result as something to stand on: a folder is copied into a layer of its own."""
    if result is None:
        return EMPTY
    if isinstance(result, Stack):
        return result
    line = _Line(job, EMPTY)
    try:
        everything = CopyAction(from_input=0, source="/", target="/", wildcard=False)
        Copier(job.views.root(result), line.root_fd, everything, None, cancelled=lambda: job.cancelled).run()
        return line.commit(keep_blob=keep_blob)[0]
    finally:
        line.discard()


class _Work:
    """One vertex's actions."""

    def __init__(self, job: Job, vertex: Vertex, op: FileOp, inputs: list[Result | None]) -> None:
        self._job = job
        self._op = op
        self._inputs = inputs
        self._lines: dict[int, _Line] = {}  # by the number of the action that they stand after
        self._trees: dict[int, Stack] = {}  # of actions whose tree was committed
        self._keep_blob = vertex.digest in job.exported
        self._readers = _readers(op, len(inputs))
        self.outputs: dict[int, Result] = {}
        self.disk_bytes = 0

    def close(self) -> None:
        for line in self._lines.values():
            line.discard()

    def act(self, number: int, action: Action) -> None:
        line = self._line(action.input)
        self._lines[number] = line
        _do(self, line, action)
        if action.output >= 0 or self._readers.get(number, 0) > 1:
            tree = self._commit(number)
            if action.output >= 0:
                self.outputs[action.output] = tree

    def _line(self, place: int) -> _Line:
        """A line that stands on the tree `place`: of an input, of an earlier action, or the empty one."""
        number = place - len(self._inputs)
        if number >= 0 and number in self._lines:
            return self._lines.pop(number)
        return _Line(self._job, self.stack(place))

    def _commit(self, number: int) -> Stack:
        line = self._lines.pop(number)
        try:
            tree, size = line.commit(keep_blob=self._keep_blob)
        finally:
            line.discard()
        self._trees[number] = tree
        self.disk_bytes += size
        return tree

    def stack(self, place: int) -> Stack:
        """The tree at a place, to stand on."""
        return as_stack(self._job, self.result(place), keep_blob=self._keep_blob)

    def result(self, place: int) -> Result | None:
        """The tree at a place, to be read: that of an earlier action is committed for it."""
        if place < 0:
            return None
        number = place - len(self._inputs)
        if number < 0:
            return self._inputs[place]
        if number in self._lines:
            return self._commit(number)
        if number not in self._trees:
            raise InvalidParameter(f"file action {number} has no tree that could be read")
        return self._trees[number]

    def root(self, place: int) -> int:
        return self._job.views.root(self.result(place) or EMPTY)

    def owner(self, owner: Owner | None, line: _Line) -> tuple[int, int] | None:
        """Numbers for an owner; names are looked up in the tree that it says. Raises InvalidParameter."""
        if owner is None:
            return None
        if isinstance(owner.user, int) and (owner.group is None or isinstance(owner.group, int)):
            return owner.user, owner.user if owner.group is None else owner.group
        root_fd = line.root_fd if owner.input < 0 else self.root(owner.input)
        group = "" if owner.group is None else f":{owner.group}"
        account = resolve_user(root_fd, f"{owner.user}{group}")
        if isinstance(owner.user, int) and owner.group is None:
            return owner.user, owner.user
        return account.uid, account.gid

    @property
    def job(self) -> Job:
        return self._job


def _readers(op: FileOp, inputs: int) -> dict[int, int]:
    """How often each action's tree is read by others."""
    found: dict[int, int] = {}
    for action in op.actions:
        places = [action.input]
        if isinstance(action, CopyAction):
            places.append(action.from_input)
        for place in places:
            if place >= inputs:
                found[place - inputs] = found.get(place - inputs, 0) + 1
    return found


# -- what each action does


def _do(work: _Work, line: _Line, action: Action) -> None:
    match action:
        case CopyAction():
            _copy(work, line, action)
        case MakeFile():
            _make_file(work, line, action)
        case MakeDirectory():
            _make_directory(work, line, action)
        case Remove():
            _remove(line, action)
        case Symlink():
            _symlink(work, line, action)
        case _:
            raise InvalidParameter(f"file action {type(action).__name__} is not known")


def _copy(work: _Work, line: _Line, action: CopyAction) -> None:
    source = work.result(action.from_input) or EMPTY
    from_fd = work.job.views.root(source)
    owner = work.owner(action.owner, line)
    if action.unpack and unpack(from_fd, line.root_fd, action, owner):
        return
    Copier(from_fd, line.root_fd, action, owner, cancelled=lambda: work.job.cancelled).run()


def _parent(line: _Line, path: str, *, make: bool, owner: tuple[int, int] | None) -> tuple[int, bytes]:
    """An open directory and the last name below it."""
    whole = select.cleaned(path)
    directory, _, name = whole.rpartition(b"/")
    if not name:
        raise InvalidParameter(f"{path}: the root of a tree cannot be replaced")
    if make:
        return make_directory(line.root_fd, directory, owner), name
    try:
        return openat2(line.root_fd, directory or b".", os.O_PATH | os.O_DIRECTORY, resolve=RESOLVE), name
    except OSError as error:
        raise NotFound(f"{path}: {os.strerror(error.errno or errno.EIO).lower()}") from None


def _make_file(work: _Work, line: _Line, action: MakeFile) -> None:
    parent_fd, name = _parent(line, action.path, make=False, owner=None)
    try:
        facts = lookup(parent_fd, name)
        if facts is not None:
            os.unlink(name, dir_fd=parent_fd)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=parent_fd)
        try:
            rest = memoryview(action.data)
            while rest:
                rest = rest[os.write(fd, rest) :]
            os.fchown(fd, *(work.owner(action.owner, line) or (0, 0)))
            os.fchmod(fd, action.mode & 0o7777)
            if action.timestamp is not None:
                os.utime(fd, ns=(action.timestamp, action.timestamp))
        finally:
            os.close(fd)
    finally:
        os.close(parent_fd)


def _make_directory(work: _Work, line: _Line, action: MakeDirectory) -> None:
    owner = work.owner(action.owner, line)
    path = select.cleaned(action.path)
    if action.make_parents:
        os.close(make_directory(line.root_fd, path, owner, action.timestamp, action.mode & 0o7777))
        return
    parent_fd, name = _parent(line, action.path, make=False, owner=None)
    try:
        try:
            os.mkdir(name, 0o700, dir_fd=parent_fd)
        except FileExistsError:
            raise InvalidParameter(f"mkdir {action.path}: file exists") from None
        where = descriptor_path(parent_fd, name)
        os.chown(name, *(owner or (0, 0)), dir_fd=parent_fd, follow_symlinks=False)
        os.chmod(where, action.mode & 0o7777)
        if action.timestamp is not None:
            os.utime(name, ns=(action.timestamp,) * 2, dir_fd=parent_fd, follow_symlinks=False)
    finally:
        os.close(parent_fd)


def _remove(line: _Line, action: Remove) -> None:
    like = CopyAction(
        from_input=0, source=action.path, target="/", wildcard=action.wildcard, follow=False, allow_empty=True
    )
    try:
        found = select.sources(line.root_fd, like)
    except select.SourceMissing:
        if action.allow_missing or action.wildcard:
            return
        raise NotFound(f"rm {action.path}: no such file or directory") from None
    for source in found:
        parent_fd, name = _parent(line, os.fsdecode(source.path), make=False, owner=None)
        try:
            remove(parent_fd, name)
        finally:
            os.close(parent_fd)


def _symlink(work: _Work, line: _Line, action: Symlink) -> None:
    parent_fd, name = _parent(line, action.path, make=True, owner=None)
    try:
        os.symlink(action.target, name, dir_fd=parent_fd)
        owner = work.owner(action.owner, line) or (0, 0)
        os.chown(name, *owner, dir_fd=parent_fd, follow_symlinks=False)
        if action.timestamp is not None:
            os.utime(name, ns=(action.timestamp,) * 2, dir_fd=parent_fd, follow_symlinks=False)
    except FileExistsError:
        raise InvalidParameter(f"symlink {action.path}: file exists") from None
    finally:
        os.close(parent_fd)
