"""A short soak with the suite; `make soak` is the long one, its figures are in docs/reliability.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import engines
from tests.soak.soak import soak

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(400)]


def test_a_hundred_containers_and_their_kills_leave_nothing(tmp_path: Path) -> None:
    with engines.onggi(tmp_path) as engine:
        engines.import_busybox(engine)
        run, middle, end = soak(engine, 160, seed=7)
        assert run.deeds.keys() >= {"init", "shim", "zygote", "daemon"}, "the dice of this seed do everything"
        assert middle.left == end.left == []
        assert end.processes <= middle.processes
        # Eighty containers lie between the two: a leak shows as eighty, a zygote's connection that is just
        # being made or closed as a few.
        assert end.descriptors <= middle.descriptors + 8
    assert engines.leftovers(engine) == []
