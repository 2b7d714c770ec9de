"""Owners in archives of a running container that has a user namespace.

Seen from the host its files have the host's ids (Documentation/filesystems/idmappings.rst); archives hold the
ids that the container sees. File capabilities and access lists hold ids, too: capabilities(7), "Namespaced
file capabilities"; acl(5). Not here: which maps (engine/userns/).
"""

from __future__ import annotations

import struct
from typing import Protocol

CAPABILITY = b"security.capability"
ACLS = (b"system.posix_acl_access", b"system.posix_acl_default")
VERSION_MASK, VERSION_2, VERSION_3 = 0xFF000000, 0x02000000, 0x03000000
NAMED = (2, 8)  # ACL_USER, ACL_GROUP: entries that name an id


class Owners(Protocol):
    """Ids of the host and ids of the container."""

    def outside(self, uid: int, gid: int) -> tuple[int, int]:
        """The ids of the host. Raises ValueError for an id that has none."""

    def inside(self, uid: int, gid: int) -> tuple[int, int]:
        """The ids that the container sees, nobody's for what is not its own."""


def seen(attributes: dict[bytes, bytes], owners: Owners) -> dict[bytes, bytes]:
    """Attributes as they were read from the host, as the container sees them."""
    return {key: _converted(key, value, owners, inside=True) for key, value in attributes.items()}


def kept(key: bytes, value: bytes, owners: Owners) -> bytes:
    """An attribute out of an archive, as it is to be written from the host. Raises ValueError."""
    return _converted(key, value, owners, inside=False)


def _converted(key: bytes, value: bytes, owners: Owners, *, inside: bool) -> bytes:
    if key == CAPABILITY:
        return _capability(value, owners, inside=inside)
    if key in ACLS:
        return _acl(value, owners, inside=inside)
    return value


def _capability(value: bytes, owners: Owners, *, inside: bool) -> bytes:
    """struct vfs_ns_cap_data: the third version names the root of the user namespace that it holds in."""
    if len(value) not in (20, 24):
        return value
    magic = int.from_bytes(value[:4], "little")
    if inside and len(value) == 24:
        return (magic & ~VERSION_MASK | VERSION_2).to_bytes(4, "little") + value[4:20]
    if not inside and magic & VERSION_MASK == VERSION_2:
        root = owners.outside(0, 0)[0]
        return (
            (magic & ~VERSION_MASK | VERSION_3).to_bytes(4, "little")
            + value[4:20]
            + root.to_bytes(4, "little")
        )
    return value


def _acl(value: bytes, owners: Owners, *, inside: bool) -> bytes:
    """A 32-bit version, then entries of tag, permissions and id (linux/posix_acl_xattr.h)."""
    if len(value) < 4 or (len(value) - 4) % 8:
        return value
    found = [value[:4]]
    for tag, permissions, number in struct.iter_unpack("<HHI", value[4:]):
        if tag in NAMED:
            side = 0 if tag == NAMED[0] else 1
            pair = (number, 0) if side == 0 else (0, number)
            number = (owners.inside(*pair) if inside else owners.outside(*pair))[side]
        found.append(struct.pack("<HHI", tag, permissions, number))
    return b"".join(found)
