"""The id maps of one container: pure arithmetic.

On disk, in layers, volumes and archives, there are always the ids that the container sees; the kernel maps
them when they are mounted (spawn/layered.py). Only what is looked at through a running container's root has
the ids of the host, and is translated here.
"""

from __future__ import annotations

import msgspec

from onggi.spec.subids import Extent

OVERFLOW = 65534  # /proc/sys/kernel/overflowuid: what the kernel shows for an id without a mapping


class IdMaps(msgspec.Struct, frozen=True, kw_only=True):
    """Users and groups; every extent maps ids inside to ids of the host."""

    uids: tuple[Extent, ...]
    gids: tuple[Extent, ...]

    def text(self) -> tuple[str, str]:
        """In the form of /proc/PID/uid_map and gid_map."""
        return _text(self.uids), _text(self.gids)

    def document(self) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
        """`uidMappings` and `gidMappings` of an OCI document."""
        return _document(self.uids), _document(self.gids)

    def outside(self, uid: int, gid: int) -> tuple[int, int]:
        """The ids of the host. Raises ValueError for an id that has none."""
        return _outside(self.uids, uid), _outside(self.gids, gid)

    def inside(self, uid: int, gid: int) -> tuple[int, int]:
        """The ids that the container sees; what is not its own is shown as nobody's."""
        return _inside(self.uids, uid), _inside(self.gids, gid)

    def has_group(self, gid: int) -> bool:
        return any(first <= gid < first + size for first, _, size in self.gids)

    @property
    def groups(self) -> int:
        """How many groups there are from 0 on without a gap."""
        end = 0
        for first, _, size in sorted(self.gids):
            if first > end:
                break
            end = max(end, first + size)
        return end


def _outside(extents: tuple[Extent, ...], number: int) -> int:
    for first, host, size in extents:
        if first <= number < first + size:
            return host + number - first
    raise ValueError(f"id {number} has no mapping in the container's user namespace")


def _inside(extents: tuple[Extent, ...], number: int) -> int:
    for first, host, size in extents:
        if host <= number < host + size:
            return first + number - host
    return OVERFLOW


def _text(extents: tuple[Extent, ...]) -> str:
    return "".join(f"{first} {host} {size}\n" for first, host, size in extents)


def _document(extents: tuple[Extent, ...]) -> list[dict[str, int]]:
    return [{"containerID": first, "hostID": host, "size": size} for first, host, size in extents]


def compose(seen: tuple[Extent, ...], own: tuple[Extent, ...]) -> tuple[Extent, ...]:
    """`seen` maps ids on disk to ids inside, `own` ids inside to the host's: ids on disk to the host's.

    What has no mapping is left out.
    """
    found = []
    for disk, inside, size in seen:
        for first, host, length in own:
            begin, end = max(inside, first), min(inside + size, first + length)
            if begin < end:
                found.append((disk + begin - inside, host + begin - first, end - begin))
    return tuple(sorted(found))
