"""The interpreter is protected: it runs from a read-only mount that no path leads to (CVE-2019-5736).

Until execve, /proc/PID/exe of a child is the host's Python. A process of the container that gets hold of it
can write through it only where its mount is writable: so the zygote and onggi-runtime are started from a
detached, read-only copy of the interpreter's mount, which costs one descriptor and is gone with the process.
"""

from __future__ import annotations

import os

from onggi.kernel import mounts

_ST_RDONLY = 1


def protected() -> bool:
    """Is the running interpreter's file on a read-only mount?"""
    fd = os.open("/proc/self/exe", os.O_PATH | os.O_CLOEXEC)
    try:
        return bool(os.fstatvfs(fd).f_flag & _ST_RDONLY)
    finally:
        os.close(fd)


def interpreter(path: str) -> int:
    """A descriptor of the interpreter on a read-only mount, for execve(fd). Needs CAP_SYS_ADMIN."""
    tree_fd = mounts.open_tree(mounts.AT_FDCWD, os.path.realpath(path))
    mounts.mount_setattr(tree_fd, set_=mounts.MOUNT_ATTR_RDONLY)
    return tree_fd


def execute(path: str, args: list[str], env: dict[str, str]) -> None:
    """Replace this process by the protected interpreter at `path`. `args[0]` should be that path."""
    os.execve(interpreter(path), args, env)
