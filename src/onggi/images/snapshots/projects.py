"""A directory in a project of its file system, which limits what is below it (kernel/quotas.py)."""

from __future__ import annotations

import os

from onggi.errors import System
from onggi.kernel import quotas


def put(directory: str, project: int) -> None:
    """An empty directory, and with it all that will be made in it. Raises System."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        quotas.set_project(fd, project)
    except OSError as error:
        raise System(f"disk quota of {directory}: {error.strerror}") from None
    finally:
        os.close(fd)
