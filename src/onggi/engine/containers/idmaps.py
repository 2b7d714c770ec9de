"""`idmap`: which owner on the host's disk is which user in the container, for one bind.

    (nothing)           the owner of the bind's source is the user that the container runs as
    UID[:GID]           this user of the host is the user that the container runs as
    uids=D:C:N/...;gids=D:C:N/...    in full: N ids from D on disk are those from C on in the container

In the two short forms every other id stays what it is, but the two that would then mean somebody else: files
of theirs show as nobody's, and cannot be made. The kernel does it, mount_setattr(2), MOUNT_ATTR_IDMAP.
"""

from __future__ import annotations

from typing import NamedTuple

from onggi.errors import InvalidParameter
from onggi.spec.number import whole

OWNER = "owner"
IDS = (1 << 32) - 1  # user_namespaces(7): (uid_t) -1 is not an id
_EXTENTS = 340  # user_namespaces(7)

Extent = tuple[int, int, int]  # on disk, in the container, how many


class IdMap(NamedTuple):
    """Either one pair of ids of the host (None: the owner of the source), or both maps in full."""

    uid: int | None = None
    gid: int | None = None
    uids: tuple[Extent, ...] = ()
    gids: tuple[Extent, ...] = ()


def parse(text: str) -> IdMap:
    """Raises InvalidParameter."""
    if text in ("", OWNER):
        return IdMap()
    if "=" not in text:
        first, colon, second = text.partition(":")
        uid = _number(first, text)
        return IdMap(uid=uid, gid=_number(second, text) if colon else uid)
    found: dict[str, tuple[Extent, ...]] = {}
    for part in text.split(";"):
        name, _, words = part.partition("=")
        if name not in ("uids", "gids") or name in found:
            raise _bad(text)
        found[name] = tuple(_extent(item, text) for item in words.split("/"))
    if len(found) != 2 or any(len(extents) > _EXTENTS for extents in found.values()):
        raise _bad(text)
    for extents in found.values():
        _refuse_overlaps(extents, text)
    return IdMap(uids=found["uids"], gids=found["gids"])


def mappings(
    wanted: IdMap, owner: tuple[int, int], user: tuple[int, int]
) -> tuple[tuple[Extent, ...], tuple[Extent, ...]]:
    """Both maps of one mount. `owner` has the source's uid and gid, `user` the container's."""
    if wanted.uids:
        return wanted.uids, wanted.gids
    uid = owner[0] if wanted.uid is None else wanted.uid
    gid = owner[1] if wanted.gid is None else wanted.gid
    return one_pair(uid, user[0]), one_pair(gid, user[1])


def one_pair(disk: int, seen: int) -> tuple[Extent, ...]:
    """`disk` is seen as `seen`; all others as themselves, but for those that are taken on either side."""
    if disk == seen:
        return ((0, 0, IDS),)
    low, high = sorted((disk, seen))
    identity = [(0, low), (low + 1, high), (high + 1, IDS)]
    return ((disk, seen, 1), *((first, first, end - first) for first, end in identity if end > first))


def _extent(item: str, text: str) -> Extent:
    numbers = [_number(word, text) for word in item.split(":")]
    if len(numbers) != 3 or not numbers[2] or max(numbers[:2]) + numbers[2] > IDS:
        raise _bad(text)
    return numbers[0], numbers[1], numbers[2]


def _refuse_overlaps(extents: tuple[Extent, ...], text: str) -> None:
    for side in (0, 1):
        end = 0
        for extent in sorted(extents, key=lambda e: e[side]):
            if extent[side] < end:
                raise _bad(text)
            end = extent[side] + extent[2]


def _number(word: str, text: str) -> int:
    number = whole(word, IDS - 1)
    if number is None:
        raise _bad(text)
    return number


def _bad(text: str) -> InvalidParameter:
    return InvalidParameter(
        f"invalid idmap: '{text}' (must be UID[:GID], or uids=DISK:CONTAINER:COUNT/...;gids=...)"
    )
