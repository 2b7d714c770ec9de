"""Write a context, with its keys, as a tar archive."""

from __future__ import annotations

import io
import os
import sys
import tarfile

from onggi import jsontext
from onggi.cli import contexts
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTEXT [FILE|-]"
ARGUMENTS = (1, 2)
FLAGS = ()


def run(session: Session, flags: Flags, args: list[str]) -> int:
    name = args[0]
    path = args[1] if len(args) > 1 else f"{name}.dockercontext"
    archive = _archive(contexts.read(session.config_dir(), name))
    if path == "-":
        if os.isatty(1):
            raise CommandError("cowardly refusing to export to a terminal, specify a file path")
        sys.stdout.buffer.write(archive)
        return 0
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or '').lower()}") from None
    with open(fd, "wb") as file:
        file.write(archive)
    session.err(f'Written file "{path}"')
    return 0


def _archive(context: contexts.Context) -> bytes:
    """meta.json and tls/docker/*.pem, as Docker's client writes and reads them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        _add(archive, "meta.json", jsontext.dumps(context.document()).encode(), 0o644)
        for kind, content in sorted(context.tls.items()):
            _add(archive, f"tls/docker/{contexts.TLS_FILES[kind]}", content, 0o600)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    archive.addfile(entry, io.BytesIO(content))
