"""What the cache keeps, what it lets go of, and what it says of a step."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import engines
from tests.buildx import buildx
from tests.engines import Engine

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
CAP = 40 << 20


@pytest.fixture(scope="module")
def capped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine whose build cache may take 40 MiB."""
    directory = tmp_path_factory.mktemp("capped")
    config = directory / "daemon.json"
    config.write_text(json.dumps({"builder": {"gc": {"enabled": True, "defaultKeepStorage": str(CAP)}}}))
    with engines.onggi(directory, "--config-file", str(config)) as running:
        engines.import_busybox(running)
        yield running


def records(engine: Engine) -> list[dict[str, Any]]:
    return list(engine.api("GET", "/v1.51/system/df?type=build-cache")["BuildCache"] or ())


def of(engine: Engine, text: str) -> list[dict[str, Any]]:
    return [one for one in records(engine) if text in one["Description"]]


def blocks(path: Path) -> int:
    """What a directory takes on the disk."""
    found = 0
    for above, directories, names in os.walk(path):
        for name in (*directories, *names):
            with contextlib.suppress(FileNotFoundError):
                found += os.lstat(os.path.join(above, name)).st_blocks * 512
    return found


def step(size_mib: int, name: str) -> str:
    return f"RUN head -c {size_mib << 20} /dev/urandom > /{name}"


def test_the_cap_is_kept_leaf_first_by_last_use(capped: Engine, context: Path) -> None:
    old = f"FROM busybox:test\n{step(12, 'below')}\n{step(6, 'above')}\n"
    (context / "Dockerfile").write_text(old)
    capped.onggi("build", "-q", str(context))
    capped.api("POST", "/images/prune?filters=" + json.dumps({"dangling": ["true"]}).replace(" ", ""))
    (context / "other").write_text(f"FROM busybox:test\n{step(12, 'other')}\n")
    capped.onggi("build", "-q", "-f", str(context / "other"), str(context))
    assert of(capped, "/below") and of(capped, "/above") and of(capped, "/other")
    (context / "Dockerfile").write_text(old.replace(step(6, "above"), "RUN true"))  # the lower one is used
    capped.onggi("build", "-q", str(context))
    (context / "new").write_text(f"FROM busybox:test\n{step(12, 'new')}\n")
    capped.onggi("build", "-q", "-f", str(context / "new"), str(context))
    engines.until(lambda: sum(one["Size"] for one in records(capped)) <= CAP)  # behind the build's answer
    assert of(capped, "/new") and of(capped, "/below"), "what was used last has gone"
    assert not of(capped, "/above"), "the least recently used leaf has stayed"


@pytest.mark.parametrize("client", ["onggi", "buildx"])
def test_a_kept_context_counts_and_goes(capped: Engine, context: Path, client: str) -> None:
    for number in range(10):
        (context / f"f{number}").write_bytes(os.urandom(512 << 10))
    (context / "Dockerfile").write_text("FROM scratch\nCOPY f0 f1 f2 f3 f4 f5 f6 f7 f8 f9 /\n")
    if client == "buildx":
        buildx(capped, context, "build", "-t", "kept:1", ".")
    else:
        capped.onggi("build", "-q", "-t", "kept:1", str(context))
    found = of(capped, "local source")
    assert max(one["Size"] for one in found) >= 5 << 20
    capped.docker("rmi", "-f", "kept:1")
    (context / "big").write_text(f"FROM busybox:test\n{step(30, 'big')}\n")
    (context / ".dockerignore").write_text("f*\n")
    capped.onggi("build", "-q", "-f", str(context / "big"), str(context))
    capped.docker("image", "prune", "-f")
    engines.until(lambda: sum(one["Size"] for one in records(capped)) <= CAP)
    engines.until(lambda: blocks(capped.root / "build") <= CAP)


def test_why(engine: Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:test\nCOPY why.txt /\nRUN echo reason > /reason\n")
    (context / "why.txt").write_text("1")
    engine.onggi("build", "-q", str(context))
    assert "the cache had no run of it" in engine.onggi("builder", "why", "COPY why.txt")
    engine.onggi("build", "-q", str(context))
    assert "came out of the cache 1 times since" in engine.onggi("builder", "why", "echo reason")
    (context / "why.txt").write_text("2")
    engine.onggi("build", "-q", str(context))
    said = engine.onggi("builder", "why", "COPY why.txt")
    assert "changed since the run before: files of /why.txt" in said
    said = engine.onggi("builder", "why", "echo reason")
    assert "changed since the run before: file system" in said
    engine.onggi("build", "-q", "--no-cache", str(context))
    assert "it was asked to run in spite of the cache" in engine.onggi("builder", "why", "COPY why.txt")
    failed = engine.run("onggi", "builder", "why", "no such step", check=False)
    assert failed.returncode == 1 and "no such step" in failed.stderr


@pytest.mark.parametrize("client", ["onggi", "buildx"])
def test_no_cache_filter(engine: Engine, context: Path, client: str) -> None:
    (context / "Dockerfile").write_text(
        "FROM busybox:test AS one\nRUN cat /proc/sys/kernel/random/uuid > /one\n"
        "FROM busybox:test AS Two\nRUN cat /proc/sys/kernel/random/uuid > /two\n"
        "FROM busybox:test\nCOPY --from=one /one /\nCOPY --from=two /two /\n"
    )

    def built(*words: str) -> tuple[str, str]:
        if client == "buildx":
            buildx(engine, context, "build", *words, "-t", "filtered:1", ".")
        else:
            engine.onggi("build", *words, "-t", "filtered:1", str(context))
        one, two = engine.docker("run", "--rm", "filtered:1", "cat", "/one", "/two").split()
        return one, two

    first, again, filtered = built(), built(), built("--no-cache-filter", "two")
    assert first == again
    assert filtered[0] == first[0] and filtered[1] != first[1]
    assert built("--no-cache-filter", "one,two")[0] != first[0]


def test_a_record_is_used_when_it_is_found(engine: Engine, context: Path) -> None:
    """Its last use is what the cap goes by."""
    (context / "Dockerfile").write_text("FROM busybox:test\nRUN echo used > /used\n")
    engine.onggi("build", "-q", str(context))
    (before,) = of(engine, "echo used")
    time.sleep(0.01)
    engine.onggi("build", "-q", str(context))
    (after,) = of(engine, "echo used")
    assert after["LastUsedAt"] > before["LastUsedAt"] and after["UsageCount"] == before["UsageCount"] + 1
