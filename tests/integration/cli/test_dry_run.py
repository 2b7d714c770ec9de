"""--dry-run of the prunes: it names what the prune then removes, and removes nothing, on no engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def there(engine: Engine) -> Any:
    """What `system df` knows, but for the database, which any answer may let grow."""
    found = engine.api("GET", "/system/df")
    del found["ImageUsage"]["TotalSize"]
    return found


@pytest.mark.parametrize("what", [("container",), ("network",), ("volume", "-a"), ("volume",)])
def test_it_says_what_the_prune_does(engine: Engine, what: tuple[str, ...]) -> None:
    noun, *flags = what
    before = there(engine), engine.api("GET", "/networks")
    plan = engine.run("onggi", noun, "prune", *flags, "--dry-run").stdout
    assert (there(engine), engine.api("GET", "/networks")) == before
    done = engine.run("onggi", noun, "prune", *flags, "--force").stdout
    assert listed(plan) == listed(done)
    assert noun == "network" or plan.rpartition(": ")[2] == done.rpartition(": ")[2]
    assert engine.run("onggi", noun, "prune", *flags, "--dry-run").stdout.count("\n") <= 1


def blocks(text: str) -> list[list[str]]:
    """The lines below each title, and the size of the last line."""
    parts = text.strip().split("\n\n")
    return [sorted(part.splitlines()[1:]) for part in parts[:-1]] + [[parts[-1].rpartition(": ")[2]]]


def build(engine: Engine, name: str, *steps: str) -> None:
    """An image whose steps stay in the build cache."""
    dockerfile = "\n".join([f"FROM {BUSYBOX}", *steps]).encode()
    engine.run("docker", "build", "-q", "-t", name, "-", stdin=dockerfile)


@pytest.mark.parametrize("flags", [(), ("-a",), ("-a", "--keep-storage", "3000")])
def test_builder_prune(engine: Engine, flags: tuple[str, ...]) -> None:
    build(engine, "kept", "RUN echo 1 > /kept", "RUN echo 2 > /more")
    build(engine, "lost", "RUN echo 3 > /lost", "RUN head -c 5000 /dev/zero > /big")
    engine.docker("rmi", "lost")
    before = there(engine)
    plan = engine.run("onggi", "builder", "prune", *flags, "--dry-run").stdout
    assert there(engine) == before
    done = engine.run("onggi", "builder", "prune", *flags, "--force").stdout
    assert blocks(plan) == blocks(done) and len(blocks(done)) == 2


@pytest.mark.parametrize("flags", [(), ("-a",), ("-a", "--volumes"), ("-a", "--filter", "label=none")])
def test_system_prune_counts_what_goes_with_what(engine: Engine, flags: tuple[str, ...]) -> None:
    """A stopped container has a network, an anonymous volume and an image to itself; an image shares its
    layers with the cache."""
    engine.docker("network", "create", "held")
    build(engine, "own", "RUN echo 1 > /own")
    engine.docker("create", "--name", "holder", "--network", "held", "-v", "/data", "own", "true")
    build(engine, "free", "RUN echo 2 > /free")
    before = there(engine), engine.api("GET", "/networks")
    plan = engine.run("onggi", "system", "prune", *flags, "--dry-run").stdout
    assert (there(engine), engine.api("GET", "/networks")) == before
    done = engine.run("onggi", "system", "prune", *flags, "--force").stdout
    assert blocks(plan) == blocks(done)
    if "--filter" not in flags:
        assert "held" in plan and ("untagged: own:latest" in plan) == bool(flags)
    assert blocks(engine.run("onggi", "system", "prune", *flags, "--dry-run").stdout)[:-1] == []


@pytest.mark.peer
@pytest.mark.parametrize("noun", ["builder", "system"])
def test_another_engine_has_no_plan(dockerd: Engine, noun: str) -> None:
    dockerd.docker("volume", "create", "spare")
    dockerd.docker("create", "--name", "done", BUSYBOX, "true")
    done = dockerd.run("onggi", noun, "prune", "--dry-run", check=False)
    assert done.returncode == 1 and "has no dry run of" in done.stderr
    assert "done" in dockerd.docker("ps", "-a")
    dockerd.docker("rm", "done")
    dockerd.docker("volume", "rm", "spare")


@pytest.mark.peer
@pytest.mark.parametrize("noun", ["container", "network", "volume", "image"])
def test_another_engine_is_not_asked_to_prune(dockerd: Engine, noun: str) -> None:
    dockerd.docker("volume", "create", "spare")
    done = dockerd.run("onggi", noun, "prune", "--dry-run", check=False)
    assert done.returncode == 1 and f"has no dry run of {noun}s prune" in done.stderr
    assert "spare" in dockerd.docker("volume", "ls", "-q")
    dockerd.docker("volume", "rm", "spare")
