"""--use-api-socket: the container drives the engine, with the credentials of whoever started it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import BUSYBOX, ONGGI, Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]


@pytest.fixture(params=["dockerd", "onggi"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    found: Engine = request.getfixturevalue(request.param)
    yield found
    found.remove_all()


def run(engine: Engine, config: Path, *words: str, host: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DOCKER_HOST": host or engine.host, "DOCKER_CONFIG": str(config)}
    command = [str(ONGGI), "run", "--rm", "--network", "none", "--use-api-socket", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_the_socket_and_the_credentials_are_inside(engine: Engine, tmp_path: Path) -> None:
    pair = base64.b64encode(b"ann:secret").decode()
    (tmp_path / "config.json").write_text(
        json.dumps({"auths": {"reg.example": {"auth": pair}, "none.example": {}}})
    )
    file = "$DOCKER_CONFIG/config.json"
    script = f"test -S /var/run/docker.sock && stat -c %a {file} && cat {file}"
    done = run(engine, tmp_path, BUSYBOX, "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    mode, _, text = done.stdout.partition("\n")
    assert mode == "600" and json.loads(text) == {"auths": {"reg.example": {"auth": pair}}}


def test_without_credentials_and_with_own_ones(engine: Engine, tmp_path: Path) -> None:
    done = run(engine, tmp_path, BUSYBOX, "sh", "-c", "echo -$DOCKER_CONFIG-; ls /run/secrets 2>&1")
    assert done.stdout.startswith("--\n") and "No such file" in done.stdout, (done.stdout, done.stderr)
    (tmp_path / "config.json").write_text('{"auths": {"a": {"auth": "YTpi"}}}')
    done = run(engine, tmp_path, "-e", "DOCKER_CONFIG=/mine", BUSYBOX, "sh", "-c", "echo $DOCKER_CONFIG")
    assert done.stdout == "/mine\n", done.stderr


def test_only_a_unix_socket_can_be_shared(onggi: Engine, tmp_path: Path) -> None:
    done = run(onggi, tmp_path, BUSYBOX, "true", host="tcp://127.0.0.1:1")
    assert done.returncode == 125 and "--use-api-socket can only be used with unix sockets" in done.stderr


def test_a_cluster_volume_is_refused_as_by_dockerd(onggi: Engine) -> None:
    for flag in ("--group=g", "--scope=multi", "--secret=a=b", "--topology-required=a=b", "--limit-bytes=1m"):
        done = onggi.run("onggi", "volume", "create", flag, "v", check=False)
        assert done.returncode == 1 and "This node is not a swarm manager." in done.stderr, (
            flag,
            done.stderr,
        )
    assert "v\n" not in onggi.onggi("volume", "ls", "-q")
    onggi.onggi("volume", "create", "plain")
    assert onggi.onggi("volume", "ls", "--cluster").split() == [
        "VOLUME",
        "NAME",
        "GROUP",
        "DRIVER",
        "AVAILABILITY",
        "STATUS",
    ]
    assert onggi.onggi("volume", "ls", "--cluster", "-q") == ""
    onggi.onggi("volume", "rm", "plain")
