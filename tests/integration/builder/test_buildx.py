"""Builds through BuildKit's door by the real buildx: progress, the context, secrets, failures, cancelling."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines

pytestmark = pytest.mark.root

BUILDX = Path(os.environ.get("ONGGI_CLIENTS", "/var/cache/onggi/clients")) / "buildx-v0.24.0/docker-buildx"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Engine]:
    if not BUILDX.exists():
        pytest.skip(f"{BUILDX} is missing: run scripts/go-client buildx")
    with engines.onggi(tmp_path_factory.mktemp("buildx")) as engine:
        engines.import_busybox(engine)
        yield engine


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    return directory


def start(engine: engines.Engine, context: Path, *args: str, **env: str) -> subprocess.Popen[str]:
    """buildx, in a configuration directory of its own."""
    config = context.parent / "config"
    config.mkdir(exist_ok=True)
    return subprocess.Popen(
        [str(BUILDX), *args], cwd=context, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={
            "PATH": os.environ["PATH"], "HOME": str(config), "DOCKER_CONFIG": str(config),
            "DOCKER_HOST": f"unix://{engine.socket}", **env,
        },
    )  # fmt: skip


def buildx(engine: engines.Engine, context: Path, *args: str, fails: bool = False, **env: str) -> str:
    process = start(engine, context, *args, **env)
    try:
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode != 0) == fails, out
    return out


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


def test_compose_builds(engine: engines.Engine, context: Path) -> None:
    compose = BUILDX.parents[1] / "compose-v2.36.2/docker-compose"
    if not compose.exists():
        pytest.skip(f"{compose} is missing: run scripts/go-client compose")
    (context / "Dockerfile").write_text("FROM busybox:test\nCOPY . /x\n")
    (context / "compose.yaml").write_text("services: {a: {build: ., image: composed}}\n")
    env = {**os.environ, "DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(context.parent)}
    done = subprocess.run(
        [compose, "build"], cwd=context, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert engine.onggi("run", "--rm", "composed", "ls", "/x") == "Dockerfile\ncompose.yaml\n"


@pytest.mark.parametrize(
    "args",
    [
        ("--cache-to", "type=inline"),
        ("--cache-from", "type=registry,ref=localhost:1/x"),
        ("--output", "type=tar,dest=x.tar"),
        ("--platform", "linux/amd64,linux/arm64"),
    ],
)
def test_what_is_not_done_is_refused(engine: engines.Engine, context: Path, args: tuple[str, ...]) -> None:
    (context / "Dockerfile").write_text("FROM busybox:test\n")
    out = buildx(engine, context, "build", "--progress=plain", *args, ".", fails=True)
    assert "ERROR" in out


def test_a_vanished_client_ends_its_build(engine: engines.Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:test\nRUN echo running; sleep 4711\n")
    process = start(engine, context, "build", "--progress=plain", ".")
    assert process.stdout is not None
    for line in process.stdout:
        if line.endswith(" running\n"):
            break
    process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    process.communicate()
    while os.listdir(engine.exec_root / "shims"):
        assert time.monotonic() < killed + 1
        time.sleep(0.01)


def test_du_and_prune_show_and_remove_the_cache(engine: engines.Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:test\nRUN echo counted > /counted\nRUN true\n")
    buildx(engine, context, "build", "-t", "counted", ".")
    shown = buildx(engine, context, "du")
    assert "RECLAIMABLE" in shown and "Total:" in shown
    detailed = buildx(engine, context, "du", "--verbose", "--filter", "type=regular")
    assert "echo counted" in detailed
    assert "invalid filter" in buildx(engine, context, "du", "--filter", "description~=x", fails=True)
    engine.docker("rmi", "-f", "counted")
    assert "Total:" in buildx(engine, context, "prune", "-f", "--filter", "until=1h")
    assert "echo counted" in buildx(engine, context, "du", "--verbose")
    pruned = buildx(engine, context, "prune", "-af")
    assert "Total:" in pruned and "Total:\t0B" not in pruned
    assert "echo counted" not in buildx(engine, context, "du", "--verbose")
    assert engine.api("GET", "/v1.51/system/df")["BuildCache"] in ([], None)


def test_history_is_refused_by_name(engine: engines.Engine, context: Path) -> None:
    assert "keeps no history of builds" in buildx(engine, context, "history", "ls", fails=True)
