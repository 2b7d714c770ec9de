"""Steps that the parent executes, in the host's namespaces: cgroups, id maps, detached mounts, hooks.

Their table is in plan.py. `run` stops at the first failure and raises StepFailed; `run_all` tries every step
and returns the failures as text, for what comes after the point of no return.
"""

from __future__ import annotations

import errno
import os
import select
import stat

from onggi.kernel import mounts, namespaces, processes
from onggi.spawn import commands, hooks, inside, layered
from onggi.spawn.plan import StepFailed
from onggi.spawn.state import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Any

    from onggi.spawn.plan import Mount, Step
else:
    import _signal as signal  # the signal module imports enum, 6 ms

_EMPTYING_MS = 2000  # a cgroup whose last process was killed is busy until the kernel has reaped it


class Parent:
    """What the parent's steps share: the child's pid, its stdio, detached mounts by slot (owned until
    `close`)."""

    __slots__ = ("pid", "slots", "stdio")

    def __init__(self, pid: int, stdio: tuple[int, ...] = ()) -> None:
        self.pid = pid
        self.stdio = stdio
        self.slots: dict[str, int] = {}

    def close(self) -> None:
        for fd in self.slots.values():
            os.close(fd)
        self.slots = {}


def run(plan_steps: list[Step], parent: Parent) -> None:
    for step in plan_steps:
        try:
            STEPS[step[0]](parent, *step[1:])
        except (OSError, ValueError) as error:
            raise failure(step, error) from None


def run_all(plan_steps: list[Step], parent: Parent) -> list[str]:
    failed = []
    for step in plan_steps:
        try:
            run([step], parent)
        except StepFailed as error:
            failed.append(error.text)
    return failed


def _mkdir(_: Parent, path: str) -> None:
    try:
        os.mkdir(path)
    except FileExistsError:
        pass
    except FileNotFoundError:
        os.makedirs(path, exist_ok=True)


def _write(_: Parent, path: str, text: str) -> None:
    write_file(path, text)


def write_file(path: str, text: str) -> None:
    """One write(2) to an existing file; the error names it, and the value that was refused."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        strerror = f"{error.strerror} (writing {text!r})"
        raise OSError(error.errno, strerror, path) from None


def _rmdir(_: Parent, path: str) -> None:
    waited = 0
    while True:
        try:
            os.rmdir(path)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or waited >= _EMPTYING_MS:
                raise
        select.poll().poll(2)
        waited += 2


def _unmount(_: Parent, path: str) -> None:
    """With everything below; one that was never made is no failure."""
    try:
        mounts.umount2(path, mounts.MNT_DETACH)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def _id_map(parent: Parent, uid_map: str, gid_map: str, groups: bool) -> None:
    """user_namespaces(7): without CAP_SETGID outside, setgroups must be denied before gid_map is written."""
    if not groups:
        write_file(f"/proc/{parent.pid}/setgroups", "deny")
    write_file(f"/proc/{parent.pid}/uid_map", uid_map)
    write_file(f"/proc/{parent.pid}/gid_map", gid_map)


def _oom_score_adj(parent: Parent, score: int) -> None:
    path = f"/proc/{parent.pid}/oom_score_adj"
    with open(path, "rb") as file:
        if int(file.read()) == score:
            return  # lowering needs CAP_SYS_RESOURCE, staying does not
    write_file(path, str(score))


def _tree(
    parent: Parent, slot: str, source: str, recursive: bool, uid_map: str, gid_map: str, below: str = ""
) -> None:
    tree_fd = inside.clone_below(source, below, recursive=recursive)
    parent.slots[slot] = tree_fd
    if uid_map:
        userns_fd = mapped_namespace(uid_map, gid_map)
        try:
            mounts.mount_setattr(
                tree_fd, set_=mounts.MOUNT_ATTR_IDMAP, userns_fd=userns_fd, recursive=recursive
            )
        except OSError as error:
            raise OSError(error.errno, error.strerror, source) from None
        finally:
            os.close(userns_fd)


def _own_stdio(parent: Parent, uid: int, gid: int) -> None:
    """Pipes and sockets of ours become the property of the container's user."""
    for fd in parent.stdio:
        mode = os.fstat(fd).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            os.fchown(fd, uid, gid)


def _layered(parent: Parent, slot: str, *fields: Any) -> None:
    """A mount that only we may make, with the maps that it asks for."""
    each: Mount = fields
    if each[6] is None:
        parent.slots[slot] = layered.tree(each, -1)
        return
    userns_fd = mapped_namespace(*each[6])
    try:
        parent.slots[slot] = layered.tree(each, userns_fd)
    finally:
        os.close(userns_fd)


def _staged(
    parent: Parent, steps: tuple[Step, ...], uid_map: str, gid_map: str, wanted: tuple[Any, ...]
) -> None:
    userns_fd = mapped_namespace(uid_map, gid_map)
    try:
        parent.slots.update(layered.staged(steps, wanted, (uid_map, gid_map), userns_fd))
    finally:
        os.close(userns_fd)


def mapped_namespace(uid_map: str, gid_map: str) -> int:
    """A descriptor of a user namespace with these maps; nobody lives in it."""
    return mapped_namespaces(uid_map, gid_map, namespaces.CLONE_NEWUSER)[0]


def mapped_namespaces(uid_map: str, gid_map: str, *flags: int) -> list[int]:
    """Descriptors of new namespaces, of which the first is the user namespace that owns the others."""
    wanted = 0
    for flag in flags:
        wanted |= flag
    pid, pidfd = namespaces.clone(wanted)
    if pid == 0:
        while True:
            signal.pause()
    try:
        write_file(f"/proc/{pid}/uid_map", uid_map)
        write_file(f"/proc/{pid}/gid_map", gid_map)
        return [namespaces.open_namespace(pid, flag) for flag in flags]
    finally:
        processes.pidfd_send_signal(pidfd, signal.SIGKILL)
        processes.wait_pidfd(pidfd)
        os.close(pidfd)


def _hook(parent: Parent, *hook: Any) -> None:
    hooks.run(parent.pid, *hook)


def _runtime(_: Parent, args: tuple[str, ...]) -> None:
    commands.checked(args)


def _cgroup_device(_: Parent, path: str, program: bytes) -> None:
    from onggi.kernel import bpf  # only hosts with version 2 controllers come here, before any fork

    bpf.attach_device_filter(path, program)


STEPS: dict[str, Callable[..., None]] = {
    "mkdir": _mkdir,
    "write": _write,
    "rmdir": _rmdir,
    "unmount": _unmount,
    "id-map": _id_map,
    "oom-score-adj": _oom_score_adj,
    "tree": _tree,
    "layered": _layered,
    "own-stdio": _own_stdio,
    "staged": _staged,
    "hook": _hook,
    "cgroup-device": _cgroup_device,
    "runtime": _runtime,
}
