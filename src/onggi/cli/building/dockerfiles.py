"""A Dockerfile's bytes, out of a file or a pipe."""

from __future__ import annotations

import os

from onggi.cli.errors import CommandError

MAX_BYTES = 10 << 20  # as the engine has it


def whole(path: str) -> bytes:
    """Raises CommandError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise CommandError(
            f"unable to prepare context: unable to evaluate Dockerfile {path}: {reason}"
        ) from None
    try:
        return read(fd)
    finally:
        os.close(fd)


def read(fd: int) -> bytes:
    """Raises CommandError."""
    parts = []
    size = 0
    while data := os.read(fd, 1 << 20):
        parts.append(data)
        size += len(data)
        if size > MAX_BYTES:
            raise CommandError(f"the Dockerfile has more than {MAX_BYTES} bytes")
    return b"".join(parts)
