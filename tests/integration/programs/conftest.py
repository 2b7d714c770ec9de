"""An engine with the image of real programs and a network; each test gets it without containers, volumes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines, programs
from tests.engines import Engine


@pytest.fixture(scope="package")
def programs_engine() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="ogp") as directory, engines.onggi(Path(directory)) as running:
        programs.load(running)
        running.docker("network", "create", "app")
        yield running
        running.remove_all()
        running.docker("network", "rm", "app")
        running.stop()
        assert engines.leftovers(running) == []


@pytest.fixture
def engine(programs_engine: Engine) -> Iterator[Engine]:
    yield programs_engine
    programs_engine.remove_all()
    programs_engine.api("POST", '/volumes/prune?filters={"all":["true"]}')
    assert programs_engine.docker("volume", "ls", "-q") == ""
