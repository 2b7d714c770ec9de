"""How many descriptors the daemon may have open: as many as it is allowed; containers get what it was given.

A soft limit of 1024 is for programs that call select(2); each client, shim and file is a descriptor here.
"""

from __future__ import annotations

import contextlib
import resource

_GIVEN = resource.getrlimit(resource.RLIMIT_NOFILE)


def raise_limit() -> None:
    """The soft limit of this process becomes its hard one."""
    with contextlib.suppress(ValueError, OSError):  # the limit stays as it is
        resource.setrlimit(resource.RLIMIT_NOFILE, (_GIVEN[1], _GIVEN[1]))


def give_back(pid: int) -> None:
    """The limits with which this process was started, for one that it has started, and those behind it."""
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, _GIVEN)
