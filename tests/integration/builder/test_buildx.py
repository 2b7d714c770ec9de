"""Builds through BuildKit's door by the real buildx: progress, the context, secrets, failures, cancelling."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests import engines
from tests.buildx import COMPOSE, buildx, start

pytestmark = pytest.mark.root


def test_an_image_of_a_context_with_its_progress(engine: engines.Engine, context: Path) -> None:
    (context / "Dockerfile").write_text(
        "FROM busybox:test\nCOPY . /src\nRUN echo said; cat /src/f > /f\nLABEL a=b\n"
    )
    (context / "f").write_text("content")
    (context / "left").write_text("out")
    (context / ".dockerignore").write_text("left\n")
    (context / "d").mkdir(mode=0o750)
    (context / "d" / "link").symlink_to("../f")
    os.link(context / "f", context / "hard")
    out = buildx(engine, context, "build", "--progress=plain", "-t", "made:1", ".")
    assert "[internal] load build definition from Dockerfile" in out
    assert "[2/3] COPY . /src" in out and " said\n" in out and "naming to docker.io/library/made:1" in out
    again = buildx(engine, context, "build", "--progress=plain", "-t", "made:1", ".")
    assert again.count("CACHED") == 3
    (context / "f").write_text("changed")
    other = buildx(engine, context, "build", "--progress=plain", "-t", "made:2", ".")
    assert other.count("CACHED") == 1  # FROM
    seen = engine.onggi("run", "--rm", "made:2", "sh", "-c", "cat /f /src/hard; ls -R /src")
    assert seen == "changedchanged/src:\nDockerfile\nd\nf\nhard\n\n/src/d:\nlink\n"


def test_a_failed_step_is_the_clients_error(engine: engines.Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:test\nRUN echo before; exit 7\n")
    out = buildx(engine, context, "build", "--progress=plain", ".", fails=True)
    assert "before" in out
    assert 'process "/bin/sh -c echo before; exit 7" did not complete successfully: exit code: 7' in out


def test_a_secret_reaches_its_step_alone(engine: engines.Engine, context: Path) -> None:
    (context / "Dockerfile").write_text(
        "FROM busybox:test\nRUN --mount=type=secret,id=s sha256sum /run/secrets/s > /sum\n"
    )
    out = buildx(
        engine, context, "build", "--progress=plain", "--secret", "id=s,env=S", "-t", "secret", ".", S="hush"
    )
    assert "hush" not in out
    seen = engine.onggi("run", "--rm", "secret", "sh", "-c", "cat /sum; test ! -s /run/secrets/s")
    assert seen.startswith(hashlib.sha256(b"hush").hexdigest())


def test_bake_builds_targets_side_by_side(engine: engines.Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:test\nARG WHO\nRUN echo $WHO > /who\n")
    (context / "docker-bake.json").write_text(
        json.dumps({"target": {who: {"tags": [f"baked:{who}"], "args": {"WHO": who}} for who in ("a", "b")}})
    )
    buildx(engine, context, "bake", "--metadata-file", str(context / "said.json"), "a", "b")
    for who in ("a", "b"):
        assert engine.onggi("run", "--rm", f"baked:{who}", "cat", "/who") == f"{who}\n"
    assert set(json.loads((context / "said.json").read_text())) >= {"a", "b"}


def test_compose_builds(engine: engines.Engine, context: Path) -> None:
    if not COMPOSE.exists():
        pytest.skip(f"{COMPOSE} is missing: run scripts/go-client compose")
    (context / "Dockerfile").write_text("FROM busybox:test\nCOPY . /x\n")
    (context / "compose.yaml").write_text("services: {a: {build: ., image: composed}}\n")
    env = {**os.environ, "DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(context.parent)}
    done = subprocess.run(
        [COMPOSE, "build"], cwd=context, env=env, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert engine.onggi("run", "--rm", "composed", "ls", "/x") == "Dockerfile\ncompose.yaml\n"


def test_a_vanished_client_ends_its_build(engine: engines.Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:test\nRUN echo running; sleep 4711\n")
    process = start(engine, context, "build", "--progress=plain", ".")
    assert process.stdout is not None
    for line in process.stdout:
        if line.endswith(" running\n"):
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    engines.until(lambda: not os.listdir(engine.exec_root / "shims"), 10)  # a second where nothing else runs


def test_du_and_prune_show_and_remove_the_cache(engine: engines.Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:test\nRUN echo counted > /counted\nRUN true\n")
    buildx(engine, context, "build", "-t", "counted", ".")
    shown = buildx(engine, context, "du")
    assert "RECLAIMABLE" in shown and "Total:" in shown
    detailed = buildx(engine, context, "du", "--verbose", "--filter", "type=regular")
    assert "echo counted" in detailed
    found = buildx(engine, context, "du", "--verbose", "--filter", "description~=echo c.*d")
    assert found.count("Description:") == 1
    assert "invalid filter" in buildx(engine, context, "du", "--filter", "owner=x", fails=True)
    assert "invalid regex" in buildx(engine, context, "du", "--filter", "description~=(", fails=True)
    engine.docker("rmi", "-f", "counted")
    assert "Total:" in buildx(engine, context, "prune", "-f", "--filter", "until=1h")
    assert "echo counted" in buildx(engine, context, "du", "--verbose")
    assert buildx(engine, context, "prune", "-af", "--filter", "id=nothing-like-it").endswith("Total:\t0B\n")
    assert buildx(engine, context, "prune", "-f", "--max-used-space", "1gb").endswith("Total:\t0B\n")
    pruned = buildx(engine, context, "prune", "-af")
    assert "Total:" in pruned and "Total:\t0B" not in pruned
    assert "echo counted" not in buildx(engine, context, "du", "--verbose")
    assert engine.api("GET", "/v1.51/system/df")["BuildCache"] in ([], None)
