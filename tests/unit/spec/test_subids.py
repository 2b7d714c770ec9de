"""subuid(5): whose ranges they are, one after another."""

from __future__ import annotations

from pathlib import Path

import pytest

from onggi.errors import InvalidParameter
from onggi.kernel.ids import COUNT, LINES
from onggi.spec import subids


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "subuid"


def test_ranges_of_a_name_and_of_a_number_follow_each_other(path: Path) -> None:
    path.write_text(
        "# a comment\n\nann:100000:10\nbob:200000:5\n1000:300000:0\n1000:400000:7\nann:500000:1\n"
    )
    assert subids.extents(str(path), "ann", 1000) == ((0, 100000, 10), (10, 400000, 7), (17, 500000, 1))
    assert subids.extents(str(path), "ann", None, inside=1) == ((1, 100000, 10), (11, 500000, 1))
    assert subids.extents(str(path), "nobody", 65534) == ()
    assert subids.extents(str(path.with_name("missing")), "ann", 1000) == ()


def test_no_more_than_a_map_takes(path: Path) -> None:
    path.write_text("".join(f"ann:{100000 + 2 * n}:1\n" for n in range(LINES + 5)))
    assert len(subids.extents(str(path), "ann", 1000, inside=1, most=LINES - 1)) == LINES - 1
    assert len(subids.extents(str(path), "ann", 1000)) == LINES
    path.write_text(f"ann:1:{COUNT - 1}\nann:1:5\n")
    assert subids.extents(str(path), "ann", 1000) == ((0, 1, COUNT - 1),)


@pytest.mark.parametrize(
    "line", ["ann", "ann:1", "ann:x:1", "ann:-1:5", "ann:1:99999999999", "ann:٣:1", ":::"]
)
def test_a_line_that_is_no_range_is_named(path: Path, line: str) -> None:
    path.write_text(f"fine:100000:65536\n{line}\n")
    with pytest.raises(InvalidParameter, match="not a range of ids"):
        subids.read(str(path))
    assert subids.extents(str(path), "fine", None) == ((0, 100000, 65536),), "somebody else's line is his"
    if line.startswith("ann"):
        with pytest.raises(InvalidParameter, match="not a range of ids"):
            subids.extents(str(path), "ann", None)
