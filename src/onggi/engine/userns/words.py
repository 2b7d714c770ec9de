"""--userns in Docker's and podman's words.

""                      the engine's own rule: --userns-remap, or none
host                    no user namespace
auto[:size=N,uidmapping=C:H:N,gidmapping=C:H:N]      a range of ids that no other container has
keep-id[:uid=N,gid=N]   the caller is the user with his own id inside (or with these), all others as auto
"""

from __future__ import annotations

import msgspec

from onggi.errors import InvalidParameter
from onggi.kernel.ids import COUNT, LINES
from onggi.spec.number import whole
from onggi.spec.subids import Extent

SIZE = 65536  # every id that images use, nobody's 65534 among them


class Mode(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. `kind` is "", host, auto or keep-id."""

    kind: str = ""
    size: int = SIZE
    uids: tuple[Extent, ...] = ()  # mapped as the user says, beside the range
    gids: tuple[Extent, ...] = ()
    uid: int | None = None  # who the caller of keep-id is inside; None: as outside
    gid: int | None = None


def parse(text: str) -> Mode:
    """Raises InvalidParameter."""
    kind, colon, rest = text.partition(":")
    if kind in ("", "host") and not colon:
        return Mode(kind=kind)
    if kind not in ("auto", "keep-id") or (colon and not rest):
        raise InvalidParameter(f"invalid user namespace mode: {text}")
    found: dict[str, object] = {}
    for item in rest.split(",") if rest else ():
        key, _, value = item.partition("=")
        if kind == "auto" and key in ("uidmapping", "gidmapping"):
            name = "uids" if key == "uidmapping" else "gids"
            extents = found.get(name, ())
            assert isinstance(extents, tuple)
            found[name] = (*extents, _extent(value, text))
        elif (kind, key) in (("auto", "size"), ("keep-id", "uid"), ("keep-id", "gid"), ("keep-id", "size")):
            found[key] = _number(value, text)
        else:
            raise InvalidParameter(f"invalid user namespace mode: {text}: unknown option {key!r}")
    mode = msgspec.convert({"kind": kind, **found}, Mode)
    if not 1 <= mode.size <= 1 << 31:
        raise InvalidParameter(f"invalid user namespace mode: {text}: a size is from 1 to {1 << 31}")
    for name, extents in (("uidmapping", mode.uids), ("gidmapping", mode.gids)):
        _refuse(name, extents, text)
    return mode


def _refuse(name: str, extents: tuple[Extent, ...], text: str) -> None:
    if len(extents) > LINES - 2:
        raise InvalidParameter(f"invalid user namespace mode: {text}: more than {LINES - 2} of {name}")
    for side in (0, 1):
        end = 0
        for extent in sorted(extents, key=lambda e: e[side]):
            if extent[side] < end:
                raise InvalidParameter(f"invalid user namespace mode: {text}: {name}s overlap")
            end = extent[side] + extent[2]


def _extent(value: str, text: str) -> Extent:
    numbers = [_number(word, text) for word in value.split(":")]
    if len(numbers) != 3 or not numbers[2] or max(numbers[:2]) + numbers[2] > COUNT:
        raise InvalidParameter(f"invalid user namespace mode: {text}: {value!r} is not INSIDE:HOST:COUNT")
    return numbers[0], numbers[1], numbers[2]


def _number(word: str, text: str) -> int:
    number = whole(word, COUNT - 1)
    if number is None:
        raise InvalidParameter(f"invalid user namespace mode: {text}: {word!r} is not a number")
    return number
