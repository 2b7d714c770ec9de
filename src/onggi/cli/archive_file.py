"""Archives on their way to a file or a pipe, and back.

A file is written under another name and renamed at the end, so that a broken download leaves the old one.
"""

from __future__ import annotations

import os

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from onggi.cli.http import Response

_CHUNK = 1 << 20


def check_output(path: str, what: str) -> None:
    """Raises CommandError where stdout is a terminal, or the file cannot be."""
    if not path:
        if os.isatty(1):
            raise CommandError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
        return
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        raise CommandError(f"{what}: invalid output path: stat {directory}: no such file or directory")
    if os.path.isdir(path):
        raise CommandError(f'{what}: invalid output path: "{path}" must be a regular file')
    if os.path.exists(path) and not os.path.isfile(path):
        raise CommandError(f'{what}: invalid output path: "{path}" must be a directory or a regular file')


def write(response: Response, path: str) -> None:
    """The body to a file (renamed into place at the end), or to stdout."""
    if not path:
        while data := response.read_some():
            _write(1, data)
        return
    partial = f"{path}.{os.getpid()}.partial"
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            while data := response.read_some():
                _write(fd, data)
        finally:
            os.close(fd)
        os.rename(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def read(path: str) -> Iterator[bytes]:
    """The bytes of a file, or of stdin for an empty path or `-`. Raises CommandError before the first
    byte.
    """
    if path in ("", "-"):
        return _chunks(0)
    from onggi.cli.options.files import reason

    try:
        return _chunks(os.open(path, os.O_RDONLY | os.O_CLOEXEC), close=True)
    except OSError as error:
        raise CommandError(f"open {path}: {reason(error)}") from None


def _chunks(fd: int, *, close: bool = False) -> Iterator[bytes]:
    try:
        while data := os.read(fd, _CHUNK):
            yield data
    finally:
        if close:
            os.close(fd)
