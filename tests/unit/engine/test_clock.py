"""Instants and durations as clients write them, right and wrong: Go decides what is one."""

# ruff: noqa: E501 (tables of cases)
from __future__ import annotations

import pytest

from onggi.engine import clock, filters
from onggi.errors import InvalidParameter


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1h3m", 3780 * 10**9), ("-1.5s", -1_500_000_000), (".5h", 1800 * 10**9), ("1.h", 3600 * 10**9), ("+2ms", 2_000_000),
        ("3µs", 3000), ("1.0000000019s", 1_000_000_001), ("0s", 0),
    ],
)  # fmt: skip
def test_durations(text: str, nanoseconds: int) -> None:
    assert clock.duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text", ["", "1", "h", "1x", ".h", "1h 2m", "9" * 400 + "h", "9" * 19 + "h", "\u0661h", "1e5s", "--1s"]
)
def test_no_durations(text: str) -> None:
    with pytest.raises(InvalidParameter, match="time: invalid duration"):
        clock.duration(text)


@pytest.mark.parametrize(
    ("text", "instant"),
    [("0", 0), ("1.5", 1_500_000_000), ("-1", -(10**9)), ("2020-01-02", 1577923200 * 10**9)],
)
def test_instants(text: str, instant: int) -> None:
    assert clock.parse_instant(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "9" * 19,
        "9" * 5000,
        "9" * 400 + "h",
        "x",
        " ",
        '""',
        "2020-13-01",
        "0000-01-01",
        "9999-12-31T23:59:59-23:00x",
    ],
)
def test_no_instants(text: str) -> None:
    with pytest.raises(InvalidParameter):
        clock.parse_instant(text)


def test_an_empty_until_takes_nothing() -> None:
    """A prune with `until=` must not be one without `until`."""
    with pytest.raises(InvalidParameter, match="failed to parse value as time or duration"):
        filters.until({"until": [""]})
    assert filters.until({"until": ["0"]}) == 1
