"""The 2 x 2: every scenario of this folder that asks for `pair` runs on four."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import engines
from tests.conformance.pairs import Pair


@pytest.fixture(params=["docker-dockerd", "docker-onggi", "onggi-dockerd", "onggi-onggi"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    client, kind = request.param.split("-")
    if client == "docker":
        request.getfixturevalue("docker_client")
    engine: engines.Engine = request.getfixturevalue(kind)
    yield Pair(client, engine)
    engine.remove_all()
