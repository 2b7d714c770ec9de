"""What most tests of builds ask for: an engine for the real buildx, and an empty context."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import buildx, engines


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Engine]:
    """With busybox:test."""
    buildx.need()
    with engines.onggi(tmp_path_factory.mktemp("builds")) as engine:
        engines.import_busybox(engine)
        yield engine


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    return directory
