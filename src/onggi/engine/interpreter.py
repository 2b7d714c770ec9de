"""Starting the zygote: the interpreter through a read-only private bind mount of its own file.

Until execve, /proc/PID/exe of a container's init is this interpreter. A process in the container that gets
hold of it could open it again for writing (CVE-2019-5736). The mount that the zygote is executed from is a
detached read-only copy that no path leads to and no namespace holds: it lives as long as somebody runs from
it, opening it for writing is EROFS, remounting it is EINVAL, and the host's mount table is not touched. Where
the kernel lacks mount_setattr (before 5.12), or without CAP_SYS_ADMIN, a sealed copy in memory does the same.

The file is executed by posix_spawn, so that the daemon's memory is never copied.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys

import onggi
from onggi.kernel import mounts

ZYGOTE_FD = 3
_CHANNEL_ARGUMENT = (
    "import sys;sys.path.append({path!r});from onggi.spawn.zygote import main;main({fd},{exec_root!r})"
)
_UNSUPPORTED = (errno.ENOSYS, errno.EPERM, errno.EINVAL)


def spawn_zygote(channel_fd: int, exec_root: str) -> int:
    """Start the zygote with `channel_fd` as its end of the conversation; its pid. Raises OSError.

    It keeps the daemon's stderr, for tracebacks; a shim gives that up (spawn/shim.py).
    """
    interpreter = os.path.realpath(sys.executable)
    fd = protected(interpreter)
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    # A copy above every number that the actions below write to; dup2 clears close-on-exec.
    high_fd = fcntl.fcntl(channel_fd, fcntl.F_DUPFD_CLOEXEC, 64)
    exe_fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64)
    try:
        return os.posix_spawn(
            f"/proc/self/fd/{exe_fd}",
            _command(interpreter, exec_root),
            _environment(),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, null_fd, 0),
                (os.POSIX_SPAWN_DUP2, null_fd, 1),
                (os.POSIX_SPAWN_DUP2, high_fd, ZYGOTE_FD),
            ],
        )
    finally:
        for open_fd in (fd, null_fd, high_fd, exe_fd):
            os.close(open_fd)


def protected(interpreter: str) -> int:
    """A descriptor to execute: the file on a read-only mount of its own, or a sealed copy of it."""
    try:
        fd = mounts.open_tree(mounts.AT_FDCWD, interpreter, mounts.OPEN_TREE_CLONE)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return _sealed_copy(interpreter)
    try:
        mounts.mount_setattr(fd, set_=mounts.MOUNT_ATTR_RDONLY, propagation=mounts.MS_PRIVATE)
    except OSError as error:
        os.close(fd)
        if error.errno not in _UNSUPPORTED:
            raise
        return _sealed_copy(interpreter)
    return fd


def _sealed_copy(path: str) -> int:
    fd = os.memfd_create("onggi-interpreter", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(path, "rb") as source:
        while os.sendfile(fd, source.fileno(), None, 1 << 24):
            pass
    fcntl.fcntl(
        fd,
        fcntl.F_ADD_SEALS,
        fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL,
    )
    return fd


def _command(interpreter: str, exec_root: str) -> list[str]:
    """-I -S -E: no user site, no site at all, no environment; the package by its path.

    The last argument is room for the titles of shims (spawn/title.py).
    """
    package_parent = os.path.dirname(os.path.dirname(os.path.abspath(onggi.__file__)))
    code = _CHANNEL_ARGUMENT.format(path=package_parent, fd=ZYGOTE_FD, exec_root=exec_root)
    return [interpreter, "-I", "-S", "-E", "-c", code, " " * (len(exec_root) + 64)]


def _environment() -> dict[str, str]:
    """Nothing of the daemon's goes on to shims, but what tests stage."""
    kept = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    if "ONGGI_FAILPOINT" in os.environ:
        kept["ONGGI_FAILPOINT"] = os.environ["ONGGI_FAILPOINT"]
    return kept
