"""The executor: the child's steps by name, in the order of the plan. Their table is in plan.py."""

from __future__ import annotations

import errno
import os

from onggi.kernel import files
from onggi.spawn import hooks, identity, init, mounting, nodes
from onggi.spawn.plan import StepFailed
from onggi.spawn.state import Child, failure, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def run(child: Child) -> None:
    """Execute all steps. The last one does not return; raises StepFailed."""
    for step in child.plan["child"]:
        try:
            STEPS[step[0]](child, *step[1:])
        except (OSError, ValueError) as error:
            raise failure(step, error) from None


def _runtime_hooks(child: Child) -> None:
    child.ask("hooks")


def _hook(child: Child, *hook: Any) -> None:
    hooks.run(_own_pid(child), *hook)


def _own_pid(child: Child) -> int:
    """Our pid as the runtime knows it: that of the host's /proc, while it is there."""
    if child.proc_fd < 0 and child.root_fd < 0:
        return os.getpid()  # after the pivot: OCI leaves open which pid a startContainer hook sees
    return int(os.readlink("self", dir_fd=child.open_proc()))


def _find(child: Child, name: str) -> None:
    """The executable's path, as Docker and execvp look for it; found before the container counts as
    created."""
    env = child.plan["child"][-1][2]
    if not name:
        raise StepFailed("find", name, errno.ENOENT, 'exec: "": executable file not found in $PATH')
    if "/" in name:
        _check(name, name)
        child.executable = name
        return
    search = next((item[5:] for item in env if item.startswith("PATH=")), "")
    denied: StepFailed | None = None
    for directory in search.split(":"):
        path = f"{directory}/{name}" if directory else f"./{name}"
        try:
            _check(path, name)
        except StepFailed as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                denied = denied or error
            continue
        child.executable = path
        return
    raise denied or StepFailed(
        "find", name, errno.ENOENT, f'exec: "{name}": executable file not found in $PATH'
    )


def _check(path: str, name: str) -> None:
    try:
        found = os.stat(path)
    except OSError as error:
        text = f'exec: "{name}": stat {path}: {(error.strerror or "").lower()}'
        raise StepFailed("find", name, error.errno or errno.EIO, text) from None
    if found.st_mode & 0o170000 == 0o040000:
        raise StepFailed("find", name, errno.EISDIR, f'exec: "{name}": is a directory: permission denied')
    if not files.may_execute(path):
        raise StepFailed("find", name, errno.EACCES, f'exec: "{name}": permission denied')


def _wait_start(child: Child) -> None:
    """Created: the parent's part is over; whoever writes to the fifo starts the program."""
    send(child.sock, ("ready",))
    os.read(child.fifo_fd, 1)
    os.close(child.fifo_fd)
    child.fifo_fd = -1


def _exec(child: Child, args: tuple[str, ...], env: tuple[str, ...]) -> None:
    for fd in child.keep:
        os.set_inheritable(fd, True)
    variables = {}
    for item in env:
        name, equals, value = item.partition("=")
        if equals:
            variables[os.fsencode(name)] = os.fsencode(value)
    if child.home:
        variables[b"HOME"] = os.fsencode(child.home)
    if args[0] == init.TARGET and args[1:2] == ("--",):
        args = (init.TARGET, "--", child.executable, *args[2:])
        child.executable = init.TARGET
    try:
        os.execve(child.executable, args, variables)
    except OSError as error:
        text = f"exec {child.executable}: {(error.strerror or '').lower()}"
        raise StepFailed("exec", child.executable, error.errno or errno.EIO, text) from None


def _close_host(child: Child) -> None:
    """In an exec there is no pivot: all descriptors but the ones meant for the program go here."""
    files.close_all_but({child.sock.fileno(), child.fifo_fd, *child.keep})
    child.root_fd = child.proc_fd = -1


def _open_root(child: Child) -> None:
    child.root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


STEPS: dict[str, Callable[..., None]] = {
    "become-root": identity.become_root,
    "unshare": identity.unshare,
    "time-offsets": identity.time_offsets,
    "protect": identity.protect,
    "keyring": identity.keyring,
    "root": mounting.root,
    "root-slot": mounting.root_slot,
    "host-root": mounting.host_root,
    "chroot": mounting.chroot,
    "stage": mounting.stage,
    "stage-slot": mounting.stage_slot,
    "secret-file": nodes.secret_file,
    "open-root": _open_root,
    "mount": mounting.mount,
    "mount-slot": mounting.mount_slot,
    "keep": mounting.keep,
    "link": nodes.link,
    "node": nodes.node,
    "bind-node": nodes.bind_node,
    "console": nodes.console,
    "mount-readonly": mounting.mount_readonly,
    "readonly": mounting.readonly,
    "mask": mounting.mask,
    "sysctl": identity.sysctl,
    "runtime-hooks": _runtime_hooks,
    "hook": _hook,
    "label": identity.label,
    "pivot": mounting.pivot,
    "close-host": _close_host,
    "root-readonly": mounting.root_readonly,
    "root-propagation": mounting.root_propagation,
    "hostname": identity.hostname,
    "domainname": identity.domainname,
    "rlimit": identity.rlimit,
    "scheduler": identity.scheduler,
    "io-priority": identity.io_priority,
    "personality": identity.personality,
    "home": identity.home,
    "cwd": identity.cwd,
    "bounding": identity.bounding,
    "user": identity.user,
    "capabilities": identity.set_capabilities,
    "umask": identity.umask,
    "no-new-privs": identity.no_new_privs,
    "seccomp": identity.load_seccomp,
    "find": _find,
    "wait-start": _wait_start,
    "exec": _exec,
}
