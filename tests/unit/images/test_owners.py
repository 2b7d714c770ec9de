"""Owners in archives of containers with ids of their own: numbers, access lists, file capabilities."""

from __future__ import annotations

import struct

import pytest

from onggi.engine.userns.maps import IdMaps
from onggi.images import owners

MAPS = IdMaps(uids=((0, 100000, 1000), (1000, 50, 1)), gids=((0, 200000, 1001),))
CAPABILITY, ACL = owners.CAPABILITY, owners.ACLS[0]


def test_ids() -> None:
    assert MAPS.outside(7, 8) == (100007, 200008)
    assert MAPS.outside(1000, 0) == (50, 200000)
    assert MAPS.inside(50, 200001) == (1000, 1)
    assert MAPS.inside(0, 0) == (65534, 65534)
    with pytest.raises(ValueError, match="id 1001 has no mapping"):
        MAPS.outside(1001, 0)


def test_file_capabilities() -> None:
    second = struct.pack("<IIIII", 0x02000001, 0x400, 0, 0, 0)  # cap_net_bind_service, effective
    third = struct.pack("<IIIIII", 0x03000001, 0x400, 0, 0, 0, 100000)
    assert owners.kept(CAPABILITY, second, MAPS) == third
    assert owners.seen({CAPABILITY: third}, MAPS) == {CAPABILITY: second}
    assert owners.kept(CAPABILITY, b"odd", MAPS) == b"odd"


def test_access_lists() -> None:
    def acl(uid: int, gid: int) -> bytes:
        entries = ((1, 7, 0xFFFFFFFF), (2, 5, uid), (8, 4, gid), (0x20, 0, 0xFFFFFFFF))
        return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)

    assert owners.kept(ACL, acl(7, 8), MAPS) == acl(100007, 200008)
    assert owners.seen({ACL: acl(100007, 200008)}, MAPS) == {ACL: acl(7, 8)}
    assert owners.kept(b"user.anything", b"\x02\0\0\0", MAPS) == b"\x02\0\0\0"
    assert owners.kept(ACL, b"short", MAPS) == b"short"
