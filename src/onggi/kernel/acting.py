"""Working for a while with other ids or fewer rights, of one thread.

Owners: setfsuid(2), with all rights kept. A file cannot be made on an idmapped mount by somebody who has no
id in its map (EOVERFLOW), root included.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

from onggi.kernel import capabilities
from onggi.kernel.libc import syscall

_setfsuid = syscall("setfsuid", ctypes.c_uint)
_setfsgid = syscall("setfsgid", ctypes.c_uint)


@contextmanager
def acting_as(uid: int, gid: int) -> Iterator[None]:
    """What this thread makes belongs to these ids of the host, meanwhile. Raises PermissionError."""
    effective, permitted, inheritable = capabilities.get()
    before = (_setfsuid(uid), _setfsgid(gid))
    try:
        if (_setfsuid(uid), _setfsgid(gid)) != (uid, gid):  # it tells of a failure in no other way
            raise PermissionError(f"cannot act as {uid}:{gid}")
        capabilities.set_(effective, permitted, inheritable)  # leaving 0 takes those over files away
        yield
    finally:
        _setfsgid(before[1])
        _setfsuid(before[0])
        capabilities.set_(effective, permitted, inheritable)


@contextmanager
def within_quotas() -> Iterator[None]:
    """Meanwhile this thread is held to quotas as everybody: CAP_SYS_RESOURCE passes those of ext4."""
    effective, permitted, inheritable = capabilities.get()
    capabilities.set_(effective & ~capabilities.BITS["CAP_SYS_RESOURCE"], permitted, inheritable)
    try:
        yield
    finally:
        capabilities.set_(effective, permitted, inheritable)
