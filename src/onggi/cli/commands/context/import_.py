"""Read a context from a tar archive that `context export` wrote."""

from __future__ import annotations

import io
import sys
import tarfile

from onggi import jsontext
from onggi.cli import contexts
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTEXT FILE|-"
ARGUMENTS = (2, 2)
FLAGS = ()
LIMIT_BYTES = 10 << 20  # Docker's own bound


def run(session: Session, flags: Flags, args: list[str]) -> int:
    name, path = args
    contexts.check_name(name)
    if contexts.exists(session.config_dir(), name):
        raise CommandError(f'context "{name}" already exists')
    contexts.write(session.config_dir(), _context(name, _members(_content(path))))
    session.out(name)
    session.err(f'Successfully imported context "{name}"')
    return 0


def _content(path: str) -> bytes:
    try:
        if path == "-":
            data = sys.stdin.buffer.read(LIMIT_BYTES + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or '').lower()}") from None
    if len(data) > LIMIT_BYTES:
        raise CommandError("invalid context: too large")
    return data


def _members(data: bytes) -> dict[str, bytes]:
    """Files by name; nothing is unpacked to disk under a name that the archive chose."""
    found: dict[str, bytes] = {}
    if not data.strip(b"\0"):
        return found
    try:
        whole = data + bytes(tarfile.RECORDSIZE)  # Docker's client leaves the padding at the end out
        with tarfile.open(fileobj=io.BytesIO(whole), mode="r:") as archive:
            for entry in archive:
                file = archive.extractfile(entry) if entry.isreg() else None
                if file is not None:
                    found[entry.name.removeprefix("./")] = file.read()
    except tarfile.TarError as error:
        raise CommandError(f"invalid context: {error}") from None
    return found


def _context(name: str, members: dict[str, bytes]) -> contexts.Context:
    try:
        document = jsontext.loads(members["meta.json"])
        endpoint = (document.get("Endpoints") or {}).get("docker") or {}
        description = (document.get("Metadata") or {}).get("Description") or ""
    except (KeyError, ValueError, AttributeError):
        raise CommandError("invalid context: no metadata found") from None
    tls = {
        kind: members[f"tls/docker/{file}"]
        for kind, file in contexts.TLS_FILES.items()
        if f"tls/docker/{file}" in members
    }
    skip = bool(endpoint.get("SkipTLSVerify"))
    return contexts.Context(name, str(endpoint.get("Host") or ""), str(description), tls, skip_verify=skip)
