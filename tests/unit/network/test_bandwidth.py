"""Rates as users write them."""

from __future__ import annotations

import pytest

from onggi.errors import InvalidParameter
from onggi.network.bandwidth import Bandwidth, from_options, parse


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("10mbit", 10_000_000), ("1.5Gbit", 1_500_000_000), ("500kbit/s", 500_000), ("64000bit", 64_000),
        ("8mbitps", 8_000_000), ("0", 0), ("", 0), ("0mbit", 0), (" 1tbit ", 10**12),
    ],
)  # fmt: skip
def test_rates(text: str, bits: int) -> None:
    assert parse("bandwidth-in", text) == bits


@pytest.mark.parametrize(
    "text", ["10", "mbit", "-1mbit", "1mb", "10m", "1e3mbit", "7999bit", "2tbit", "1 mbit", "٣mbit"]
)
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid bandwidth-out"):
        parse("bandwidth-out", text)


def test_an_endpoint_says_more_than_its_network() -> None:
    network, endpoint = {"bandwidth-in": "1mbit", "bandwidth-out": "1mbit"}, {"bandwidth-in": "0"}
    assert from_options(network, endpoint) == Bandwidth(receive=0, send=1_000_000)
