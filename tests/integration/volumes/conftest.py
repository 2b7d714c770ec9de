"""An engine with the busybox image; whatever a test leaves is an error."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.engines import Engine


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="ogv") as directory, engines.onggi(Path(directory)) as running:
        engines.import_busybox(running)
        yield running
        running.remove_all()
        running.stop()
        assert engines.leftovers(running) == []
