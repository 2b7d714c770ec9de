"""Numbers of others, and the places that read them."""

from __future__ import annotations

import pytest

from onggi.engine import signals
from onggi.engine.config import size_bytes
from onggi.engine.containers import validate
from onggi.engine.networks import publish
from onggi.engine.oci import devices
from onggi.errors import InvalidParameter
from onggi.spec.number import whole

WRONG = ("", "-1", "+1", " 1", "1_0", "\u00b2", "\uff18", "1.0", "9" * 21, "9" * 5000, "0" * 30 + "80")


@pytest.mark.parametrize("text", WRONG)
def test_no_numbers(text: str) -> None:
    assert whole(text, 1 << 70) is None


def test_numbers() -> None:
    assert (whole("0", 5), whole("007", 7), whole("8", 7), whole("9" * 20, 10**20)) == (
        0,
        7,
        None,
        10**20 - 1,
    )


@pytest.mark.parametrize("text", WRONG)
def test_no_signal(text: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid signal"):
        signals.parse(text)


@pytest.mark.parametrize("text", WRONG)
def test_no_port_and_no_processors(text: str) -> None:
    assert not publish._is_port(text)
    assert validate._numbers(text) is None and validate._numbers(f"0-{text}") is None


@pytest.mark.parametrize("text", ["inf", "1e999", "nan", "-inf", "9" * 400 + "g", "infk"])
def test_no_size(text: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid size"):
        size_bytes(text)


def test_no_device_rule() -> None:
    with pytest.raises(InvalidParameter, match="invalid device cgroup rule format"):
        devices.parse_rule(f"c {'9' * 5000}:1 rwm")
