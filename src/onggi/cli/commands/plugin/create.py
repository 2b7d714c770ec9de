"""Make a plugin of a directory that has config.json and rootfs."""

from __future__ import annotations

from onggi import jsontext
from onggi.cli import reference
from onggi.cli.copying import Local
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "PLUGIN PLUGIN-DATA-DIR"
ARGUMENTS = (2, None)
FLAGS = (("compress", "", "bool", False, "Compress the directory's archive with gzip"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    name, directory = args[:2]
    reference.check(name)
    local = Local(directory)
    if not local.is_dir:
        raise CommandError("context must be a directory")
    _check(f"{directory}/config.json")
    pieces: Iterable[bytes] = local.tar(".")
    if flags["compress"]:
        pieces = _compressed(pieces)
    headers = {"Content-Type": "application/x-tar"}
    session.engine.open("POST", "/plugins/create", {"name": name}, pieces, headers, fresh=True).read()
    session.out(name)
    return 0


def _check(path: str) -> None:
    try:
        with open(path, "rb") as file:
            found = jsontext.loads(file.read())
    except OSError as error:
        raise CommandError(f"open {path}: {(error.strerror or '').lower()}") from None
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise CommandError(f"{path}: it is no JSON object")


def _compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    import zlib

    packer = zlib.compressobj(wbits=31)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
