"""Send of a context only what the engine has not: one that has more than a little is listed first.

Two requests, as builder/classic/listing.py has them. An engine that knows no listings, as dockerd, is sent
the whole context.
"""

from __future__ import annotations

import os
import stat

from onggi.cli.building.context import KINDS, Context, joined, whole
from onggi.cli.errors import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from onggi.cli.building.context import Entry
    from onggi.cli.session import Session

SMALL_BYTES, SMALL_NAMES = 1 << 20, 500  # a context up to here costs less than being asked about
LETTERS = {b"0": b"f", b"2": b"l", b"5": b"d", b"6": b"p"}


def changes(session: Session, context: Context, parameters: dict[str, Any]) -> Iterable[bytes]:
    """The body of POST /build, whose parameters say what it is. Raises CommandError."""
    entries = context.entries(always=False)
    begun = _begun(entries)
    if not begun:
        return context
    found = [*begun, *(entry for entry in entries if _kind(entry[2]))]
    text = context.text()
    parameters["buildid"] = parameters.get("buildid") or os.urandom(16).hex()
    asked = {"buildid": parameters["buildid"], "name": _name(context)}
    try:
        answer = session.engine.open("POST", "/build/context", asked, b"".join(map(_record, found)))
    except Refused:
        return context
    from onggi import jsontext

    wanted = jsontext.loads(answer.read())["wanted"]
    session.engine.keep(answer)
    parameters["listed"] = True
    return joined(_pieces(context, found, wanted, text))


def _begun(entries: Iterator[Entry]) -> list[Entry]:
    """The first entries, where there are enough to be listed."""
    found, size = [], 0
    for entry in entries:
        if _kind(entry[2]):
            found.append(entry)
            size += entry[2].st_size
            if size > SMALL_BYTES or len(found) > SMALL_NAMES:
                return found
    return []


def _kind(facts: os.stat_result) -> bytes | None:
    return KINDS.get(stat.S_IFMT(facts.st_mode))


def _name(context: Context) -> str:
    """The same for the same directory of this machine and the same Dockerfile's patterns."""
    import hashlib

    whose = (os.uname().nodename, str(os.getuid()), context.path, context.dockerfile)
    return hashlib.sha256("\0".join(whose).encode("utf-8", "surrogateescape")).hexdigest()


def _record(entry: Entry) -> bytes:
    """A file is the same as long as nothing wrote to its inode, whatever its time was set to."""
    name, _, facts = entry
    mode = facts.st_mode
    letter = LETTERS[KINDS[stat.S_IFMT(mode)]]
    seconds = max(0, int(facts.st_mtime))
    path = os.fsencode(name)
    if letter == b"d":
        return b"d %o %d - %b\0" % (mode & 0o7777, seconds, path)
    stamp = b"%d.%d.%d.%d" % (facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)
    return b"%b %o %d %b %b\0" % (letter, mode & 0o7777, seconds, stamp, path)


def _pieces(context: Context, found: list[Entry], wanted: list[int], text: bytes) -> Iterator[bytes]:
    yield from whole(b"Dockerfile", text)
    for first, end in zip(wanted[::2], wanted[1::2], strict=True):
        for name, entry, facts in found[first:end]:
            yield from context.member(b"context/", name, entry, facts)
