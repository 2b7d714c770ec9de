"""A host of its own for an engine, with a client on a wire (tests/wires.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines, wires
from tests.engines import Engine
from tests.wires import Wire


@pytest.fixture
def wire() -> Iterator[Wire]:
    found = Wire()
    yield found
    found.close()


@pytest.fixture
def engine(tmp_path: Path, wire: Wire) -> Iterator[Engine]:
    with engines.running(wires.engine_on(wire, tmp_path)) as found:
        yield found
