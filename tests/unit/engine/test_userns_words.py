"""--userns in words, ranges of ids, /etc/subuid, and the policy that is learned: no kernel needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onggi.engine import learned
from onggi.engine.userns import choose, words
from onggi.engine.userns.maps import IdMaps, compose
from onggi.errors import Conflict, InvalidParameter, Unavailable
from onggi.spec import subids
from onggi.store import id_ranges
from onggi.store.database import Database


@given(st.text(max_size=60) | st.from_regex(r"(auto|keep-id|host)?:?[a-z=:0-9,]{0,40}", fullmatch=True))
def test_any_text_is_a_mode_or_refused_by_name(text: str) -> None:
    try:
        mode = words.parse(text)
    except InvalidParameter as error:
        assert "invalid user namespace mode" in error.message
    else:
        assert mode.kind in ("", "host", "auto", "keep-id")
        assert 1 <= mode.size <= 1 << 31


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 900)), max_size=6))
def test_what_is_carved_maps_each_id_once(wanted: list[tuple[int, int]]) -> None:
    instead, end = [], 0
    for gap, size in wanted:
        instead.append((end + gap, 10_000_000 + end + gap, size))
        end += gap + size
    made = choose.carve(((0, 1000, 65536),), tuple(instead))
    seen: set[int] = set()
    for first, _, size in made:
        assert not seen & {first, first + size - 1}
        seen |= set(range(first, first + size))
    assert seen >= set(range(65536))
    maps = IdMaps(uids=made, gids=made)
    for first, host, _ in instead:
        assert maps.outside(first, first) == (host, host)


def test_composition() -> None:
    assert compose(((4321, 1000, 1),), ((0, 100000, 65536),)) == ((4321, 101000, 1),)
    assert compose(((0, 0, 1 << 20),), ((0, 100000, 10),)) == ((0, 100000, 10),)
    assert compose(((5, 70000, 1),), ((0, 100000, 65536),)) == ()


def test_ranges(tmp_path: Path) -> None:
    with Database(str(tmp_path / "onggi.db")) as database:
        pool = [(1000, 1400)]
        assert id_ranges.take(database, "a", 100, pool, [(1050, 1060)]) == 1060
        assert id_ranges.take(database, "b", 100, pool, [(1050, 1060)]) == 1160
        with pytest.raises(Conflict):
            id_ranges.take(database, "a", 1, pool, [])
        id_ranges.give_back(database, "a")
        assert id_ranges.take(database, "c", 100, pool, []) == 1260
        assert id_ranges.take(database, "d", 100, pool, []) == 1000  # round again, where there is room
        with pytest.raises(Unavailable, match="no 100 ids are left"):
            id_ranges.take(database, "e", 100, pool, [])
        assert set(id_ranges.owners(database)) == {"b", "c", "d"}


@pytest.mark.parametrize("line", ["x", "x:1", "x:1:y", "x:-1:5", "x:1:99999999999", ":::"])
def test_a_line_that_is_no_range(tmp_path: Path, line: str) -> None:
    (tmp_path / "subuid").write_text(f"# fine\n\nfine:100000:65536\n{line}\n")
    with pytest.raises(InvalidParameter, match="not a range of ids"):
        subids.read(str(tmp_path / "subuid"))


def test_where_it_wrote() -> None:
    assert learned.written(["/tmp", "/tmp/x", "/etc", "/etc/hosts"]) == ["/tmp"]
    assert learned.written(["/var", "/var/lib", "/var/lib/app", "/var/lib/app/y"]) == ["/var/lib/app"]
    assert learned.written(["/new"]) == ["/"]
    assert learned.written(["/etc", "/etc/passwd", "/etc/hosts"]) == ["/etc"]
    assert learned.written([]) == []


def test_a_profile_is_never_wider() -> None:
    base = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {"names": ["read", "write", "clone"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0}]},
        ],
    }
    made = learned.narrowed(base, {"read", "personality", "mount"}, {"SCMP_ARCH_X86_64"})
    assert made["syscalls"] == [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0}]},
    ]
