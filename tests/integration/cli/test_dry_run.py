"""--dry-run of the prunes: it names what the prune then removes, and removes nothing, on no engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = pytest.mark.root


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engines.onggi(tmp_path) as found:
        engines.import_busybox(found)
        found.docker("volume", "create", "spare")
        found.docker("network", "create", "lone")
        found.docker("create", "--name", "done", "-v", "/data", BUSYBOX, "true")
        found.docker(
            "run", "-d", "--name", "busy", "--network", "none", "-v", "kept:/data", BUSYBOX, "sleep", "1000"
        )
        yield found
        found.remove_all()


def listed(text: str) -> list[str]:
    """The lines between the title and the empty line."""
    return text.partition("\n\n")[0].splitlines()[1:]


@pytest.mark.parametrize("what", [("container",), ("network",), ("volume", "-a"), ("volume",)])
def test_it_says_what_the_prune_does(engine: Engine, what: tuple[str, ...]) -> None:
    noun, *flags = what
    before = engine.api("GET", "/system/df"), engine.api("GET", "/networks")
    plan = engine.run("onggi", noun, "prune", *flags, "--dry-run").stdout
    assert (engine.api("GET", "/system/df"), engine.api("GET", "/networks")) == before
    done = engine.run("onggi", noun, "prune", *flags, "--force").stdout
    assert listed(plan) == listed(done)
    assert noun == "network" or plan.rpartition(": ")[2] == done.rpartition(": ")[2]
    assert engine.run("onggi", noun, "prune", *flags, "--dry-run").stdout.count("\n") <= 1


@pytest.mark.peer
@pytest.mark.parametrize("noun", ["container", "network", "volume", "image"])
def test_another_engine_is_not_asked_to_prune(dockerd: Engine, noun: str) -> None:
    dockerd.docker("volume", "create", "spare")
    done = dockerd.run("onggi", noun, "prune", "--dry-run", check=False)
    assert done.returncode == 1 and f"has no dry run of {noun}s prune" in done.stderr
    assert "spare" in dockerd.docker("volume", "ls", "-q")
    dockerd.docker("volume", "rm", "spare")
