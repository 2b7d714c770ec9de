"""Plugins of Docker's command line under ours: found, given every word, told where the engine is."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import engines
from tests.engines import Engine

SHOW = '#!/bin/sh\necho "$0"\nfor word in "$@"; do echo "<$word>"; done\necho "host=$DOCKER_HOST"\nexit 7\n'
COMPOSE = "services:\n  one:\n    image: busybox:test\n    command: sleep 1000\n    network_mode: none\n"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if name not in ("DOCKER_HOST", "ONGGI_HOST")}
        env |= {"DOCKER_CONFIG": str(tmp_path / "config"), "NO_COLOR": "1", **more}
        return subprocess.run([str(engines.ONGGI), *words], capture_output=True, text=True, env=env)

    return call


def put(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_plugin_gets_every_word_as_it_was_written(tmp_path: Path, run: Run) -> None:
    plugin = put(tmp_path / "config/cli-plugins/docker-show", SHOW)
    done = run("-H", "tcp://elsewhere", "show", "--flag", "a b", "ps")
    assert done.returncode == 7
    assert done.stdout.splitlines() == [
        str(plugin), "<-H>", "<tcp://elsewhere>", "<show>", "<--flag>", "<a b>", "<ps>", "host=",
    ]  # fmt: skip


def test_it_is_told_where_the_engine_is(tmp_path: Path, run: Run) -> None:
    put(tmp_path / "config/cli-plugins/docker-show", SHOW)
    assert "host=unix:///run/onggi/onggi.sock" in run("show").stdout
    assert "host=tcp://mine:1" in run("show", ONGGI_HOST="tcp://mine:1").stdout
    assert "host=tcp://mine:2" in run("show", DOCKER_HOST="tcp://mine:2").stdout


def test_where_plugins_are_looked_for(tmp_path: Path, run: Run) -> None:
    extra = put(tmp_path / "extra/docker-show", SHOW)
    put(tmp_path / "config/config.json", json.dumps({"cliPluginsExtraDirs": [str(extra.parent)]}))
    assert run("show").stdout.startswith(str(extra))
    own = put(tmp_path / "config/cli-plugins/docker-show", SHOW)
    assert run("show").stdout.startswith(str(own))
    own.chmod(0o644)
    assert run("show").stdout.startswith(str(extra))


def test_what_is_no_plugin(tmp_path: Path, run: Run) -> None:
    put(tmp_path / "config/cli-plugins/docker-ps", SHOW)
    put(tmp_path / "config/docker-evil", SHOW)
    put(tmp_path / "config/cli-plugins/docker-broken", "no program")
    assert "<ps>" not in run("ps", "--help").stdout
    for name in ("nothing", "../evil", "Show", "-x", ""):
        done = run(name)
        assert done.returncode != 7 and "host=" not in done.stdout
    assert "unknown command: onggi nothing" in run("nothing").stderr
    assert "Exec format error" in run("broken").stderr


@pytest.mark.root
@pytest.mark.peer
def test_compose_is_a_command(onggi: Engine, tmp_path: Path, run: Run) -> None:
    done = subprocess.run([str(engines.TOP / "scripts/go-client"), "compose"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("needs Docker Compose, which scripts/go-client builds")
    put(tmp_path / "config/cli-plugins/docker-compose", "").unlink()
    (tmp_path / "config/cli-plugins/docker-compose").symlink_to(done.stdout.strip().splitlines()[-1])
    file = put(tmp_path / "compose.yaml", COMPOSE, 0o644)
    try:
        up = run("compose", "-f", str(file), "-p", "plugin", "up", "-d", ONGGI_HOST=onggi.host)
        assert up.returncode == 0, up.stderr
        assert "plugin-one-1" in run("compose", "-p", "plugin", "ps", ONGGI_HOST=onggi.host).stdout
    finally:
        run("compose", "-f", str(file), "-p", "plugin", "down", "-t", "0", ONGGI_HOST=onggi.host)
        onggi.remove_all()
