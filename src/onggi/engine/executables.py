"""Where a command is in a container's root: for the reaper of --init under another runtime.

The reaper is given the program's path. The engine's own runtime looks it up on its way to execve
(spawn/steps.py); another one looks up the reaper.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from onggi.errors import StartFailed
from onggi.kernel.files import openat2


def find(root_fd: int, name: str, variables: Iterable[str]) -> str:
    """The path of `name` by PATH of `NAME=value` texts. Raises StartFailed in Docker's words.

    What a volume shows there is not seen.
    """
    if "/" in name:
        return name
    path = next((item[5:] for item in variables if item.startswith("PATH=")), "")
    for directory in path.split(":"):
        found = f"{directory or '/'}/{name}".replace("//", "/")
        try:
            fd = openat2(root_fd, found, os.O_PATH)
        except OSError:
            continue  # not there, or nothing that can be walked through
        mode = os.fstat(fd).st_mode
        os.close(fd)
        if stat.S_ISREG(mode) and mode & 0o111:
            return found
    raise StartFailed(
        "failed to create task for container: failed to create shim task: OCI runtime create failed: "
        f'exec: "{name}": executable file not found in $PATH: unknown',
        127,
    )
