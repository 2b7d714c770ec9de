"""The 2 x 2: every scenario of this folder that asks for `pair` runs on four, and with both clients on an
ordinary user's engine, but for what needs cgroups (`cgroups`): where a user has none is the machine's to say.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines, rootless
from tests.conformance.pairs import Pair

PAIRS = [
    "docker-dockerd", "docker-onggi", "docker-rootless_onggi",
    "onggi-dockerd", "onggi-onggi", "onggi-rootless_onggi",
]  # fmt: skip


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    client, kind = request.param.split("-")
    if kind == "rootless_onggi" and request.node.get_closest_marker("cgroups"):
        pytest.skip("needs cgroups, and this user has none delegated")
    if kind == "rootless_onggi" and request.node.get_closest_marker("host_root"):
        pytest.skip("needs what root of the host alone may do")
    if client == "docker":
        request.getfixturevalue("docker_client")
    engine: engines.Engine = request.getfixturevalue(kind)
    if isinstance(engine, rootless.Engine) and "tmp_path" in request.fixturenames:
        _let_in(engine.who, request.getfixturevalue("tmp_path"))
    yield Pair(client, engine)
    engine.remove_all()


def _let_in(who: rootless.User, path: Path) -> None:
    """A test's directory is the user's: what his containers bind must be his to read."""
    for parent in path.parents:
        if parent.stat().st_uid == os.geteuid() and parent.stat().st_mode & 0o77 == 0:
            parent.chmod(0o711)
    os.chown(path, who.uid, who.gid)
