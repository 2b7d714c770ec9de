"""Docker Compose, the current plugin, on dockerd and on ours: a project of three services through a day."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.engines import BUSYBOX, TOP, Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]

PROJECT = f"""
name: shop
services:
  db:
    image: {BUSYBOX}
    command: sh -c "sleep 1; echo one > /data/rows; echo ready; trap exit TERM; while :; do sleep 0.1; done"
    volumes: [rows:/data]
    networks: [back]
    stop_grace_period: 3s
    healthcheck:
      test: [CMD, test, -s, /data/rows]
      interval: 300ms
      retries: 60
  web:
    image: {BUSYBOX}
    command: httpd -f -p 8080 -h /data
    volumes: ["rows:/data:ro"]
    networks: [back, front]
    ports: ["127.0.0.1::8080"]
    environment: {{GREETING: "${{GREETING:-hello}}"}}
    labels: {{role: web}}
    init: true
    depends_on:
      db: {{condition: service_healthy}}
  tool:
    image: {BUSYBOX}
    profiles: [tools]
    command: wget -q -O - http://web:8080/rows
    networks: [back]
volumes: {{rows: {{}}}}
networks: {{back: {{internal: true}}, front: {{}}}}
"""


class Compose:
    """One project directory; words of `docker-compose`."""

    def __init__(self, program: str, engine: Engine, directory: Path, **variables: str) -> None:
        self.program = program
        self.variables = variables
        self.engine = engine
        self.directory = directory

    def __call__(self, *words: str, check: bool = True, **variables: str) -> str:
        config = str(self.directory / "config")
        env = {
            **os.environ,
            "DOCKER_HOST": self.engine.host,
            "DOCKER_CONFIG": config,
            **self.variables,
            **variables,
        }
        done = subprocess.run(
            [self.program, *words], cwd=self.directory, env=env, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=120,
        )  # fmt: skip
        assert not check or done.returncode == 0, (words, done.stdout, done.stderr, self.engine.log[-2000:])
        return done.stdout

    def rows(self, *words: str) -> dict[str, dict[str, object]]:
        """`ps --format json` by container name."""
        lines = self("ps", "--format", "json", *words).splitlines()
        return {row["Name"]: row for row in map(json.loads, lines)}


@pytest.fixture(scope="module")
def program() -> str:
    done = subprocess.run(
        [str(TOP / "scripts/go-client"), "compose"], capture_output=True, text=True, cwd=TOP
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(params=["dockerd", "onggi"])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Compose]:
    """Debian's docker-compose 1.29, in Python."""
    program = "/usr/bin/docker-compose"
    if not os.path.exists(program):
        pytest.skip("needs Debian's docker-compose")
    (tmp_path / "compose.yaml").write_text(PROJECT.replace("name: shop\n", ""))
    made = Compose(program, request.getfixturevalue(request.param), tmp_path, COMPOSE_PROJECT_NAME="shop")
    yield made
    made("--profile", "tools", "down", "-v", "--remove-orphans", "-t", "0", check=False)
    made.engine.remove_all()


@pytest.fixture(params=["dockerd", "onggi"])
def compose(request: pytest.FixtureRequest, program: str, tmp_path: Path) -> Iterator[Compose]:
    engine: Engine = request.getfixturevalue(request.param)
    (tmp_path / "compose.yaml").write_text(PROJECT)
    made = Compose(program, engine, tmp_path)
    yield made
    made("--profile", "tools", "down", "-v", "--remove-orphans", "-t", "0", check=False)
    engine.remove_all()


def test_a_project_from_up_to_down(compose: Compose) -> None:
    compose("up", "-d", "--quiet-pull")
    rows = compose.rows()
    assert sorted(rows) == ["shop-db-1", "shop-web-1"]
    assert {row["State"] for row in rows.values()} == {"running"}
    assert rows["shop-db-1"]["Health"] == "healthy"
    address = compose("port", "web", "8080").strip()
    assert engines.page(f"{address}/rows") == b"one\n"
    assert compose("exec", "-T", "web", "sh", "-c", "echo $GREETING") == "hello\n"
    assert compose("run", "--rm", "-T", "tool") == "one\n"
    engines.until(lambda: "db-1  | ready" in compose("logs", "--no-color"))  # said after it was healthy
    assert compose("up", "-d", "--wait", GREETING="salut") == ""
    assert compose("exec", "-T", "web", "sh", "-c", "echo $GREETING") == "salut\n"
    compose("up", "-d", "--scale", "web=3", GREETING="salut")
    assert sorted(compose.rows("web")) == ["shop-web-1", "shop-web-2", "shop-web-3"]
    compose("up", "-d", "--scale", "web=1", GREETING="salut")
    assert sorted(compose.rows()) == ["shop-db-1", "shop-web-1"]
    before = compose("exec", "-T", "db", "cat", "/data/rows")
    compose("restart", "-t", "0")
    assert compose("exec", "-T", "db", "cat", "/data/rows") == before
    compose("stop", "-t", "1")
    assert {row["State"] for row in compose.rows("-a").values()} == {"exited"}
    compose("start")
    compose("pause", "web")
    assert compose.rows()["shop-web-1"]["State"] == "paused"
    compose("unpause", "web")
    compose("cp", "web:/data/rows", "rows")
    assert (compose.directory / "rows").read_text() == "one\n"
    assert "httpd" in compose("top", "web")
    assert BUSYBOX.partition(":")[0] in compose("images")
    compose("down", "-v", "-t", "0")
    assert compose.rows("-a") == {}
    api = compose.engine.api
    assert not [v for v in api("GET", "/volumes")["Volumes"] or [] if v["Name"].startswith("shop_")]
    assert not [n for n in api("GET", "/networks") if n["Name"].startswith("shop_")]


def test_up_in_the_foreground_shows_logs_and_ends_with_the_first(compose: Compose) -> None:
    (compose.directory / "compose.yaml").write_text(
        f"services:\n  job:\n    image: {BUSYBOX}\n    network_mode: none\n"
        '    command: sh -c "echo out; echo err >&2; exit 3"\n'
        f"  other:\n    image: {BUSYBOX}\n    network_mode: none\n    command: sleep 100\n    init: true\n"
    )
    words = ["up", "--abort-on-container-exit", "--exit-code-from", "job", "--no-color", "-t", "0"]
    env = {**os.environ, "DOCKER_HOST": compose.engine.host}
    done = subprocess.run(
        [compose.program, *words], cwd=compose.directory, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3, done.stderr
    assert "job-1    | out" in done.stdout
    assert "job-1    | err" in done.stderr


def test_logs_are_followed_while_the_project_works(compose: Compose) -> None:
    compose("up", "-d", "db")
    env = {**os.environ, "DOCKER_HOST": compose.engine.host}
    words = [compose.program, "logs", "-f", "--no-color", "--no-log-prefix", "db"]
    with subprocess.Popen(
        words, cwd=compose.directory, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "ready\n"
        compose("stop", "-t", "0", "db")
        assert follower.wait(30) == 0


def test_events_are_the_projects_own(compose: Compose) -> None:
    env = {**os.environ, "DOCKER_HOST": compose.engine.host}
    with subprocess.Popen(
        [compose.program, "events", "--json"],
        cwd=compose.directory,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    ) as follower:
        assert follower.stdout is not None
        engines.until(lambda: compose.engine.api("GET", "/info")["NEventsListener"] > 0)
        compose("create", "db")
        first = json.loads(follower.stdout.readline())
        assert (first["service"], first["action"]) == ("db", "create")
        follower.terminate()


def test_the_older_compose(older: Compose) -> None:
    older("up", "-d")
    address = older("port", "web", "8080").strip()
    assert engines.page(f"{address}/rows") == b"one\n"
    assert older("exec", "-T", "web", "sh", "-c", "echo $GREETING") == "hello\n"
    assert older("run", "--rm", "-T", "tool") == "one\n"
    engines.until(lambda: "ready" in older("logs", "--no-color"))  # said after it was healthy
    older("up", "-d", "--scale", "web=2")
    assert len(older("ps", "-q", "web").split()) == 2
    older("restart", "-t", "0")
    assert "Up" in older("ps")
    older("down", "-v", "-t", "0")
    assert older("ps", "-q") == ""
    assert not [n for n in older.engine.api("GET", "/networks") if n["Name"].startswith("shop_")]
