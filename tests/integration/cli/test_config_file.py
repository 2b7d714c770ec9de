"""Keys of ~/.docker/config.json: each does on `onggi` what it does on Docker's client, on one dockerd."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]
PROXIES = {
    "default": {"httpProxy": "http://p:1", "noProxy": "a,b"},
    "tcp://other:1": {"httpProxy": "http://q:2"},
}


@pytest.fixture
def work(dockerd: Engine) -> Iterator[Engine]:
    yield dockerd
    dockerd.run("docker", "rm", "-f", "keyed", check=False)


def run(engine: Engine, client: str, config: Path, *args: str) -> subprocess.CompletedProcess[str]:
    program = str(engines.ONGGI) if client == "onggi" else "docker"
    env = {**os.environ, "DOCKER_HOST": engine.host, "DOCKER_CONFIG": str(config), "DOCKER_BUILDKIT": "0"}
    return subprocess.run([program, *args], env=env, capture_output=True, text=True, timeout=60)


def written(tmp_path: Path, document: dict[str, Any]) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(document))
    return tmp_path


def test_formats_hold_where_no_flag_says_otherwise(work: Engine, tmp_path: Path) -> None:
    forms = {"psFormat": "{{.Names}}!", "imagesFormat": "{{.Repository}}!", "networksFormat": "{{.Name}}!"}
    config = written(tmp_path, {**forms, "volumesFormat": "table {{.Name}}"})
    work.docker("run", "-d", "--name", "keyed", "--network", "none", BUSYBOX, "sleep", "100")
    for args in (
        ("ps",), ("container", "ls"), ("ps", "-q", "--filter", "name=none"), ("ps", "--format", "{{.Image}}"),
        ("images",), ("images", "-q", "none"), ("network", "ls"), ("volume", "ls"),
    ):  # fmt: skip
        theirs, ours = (run(work, client, config, *args) for client in ("docker", "onggi"))
        assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout), args


def test_proxies_reach_containers_and_builds(work: Engine, tmp_path: Path) -> None:
    config = written(tmp_path, {"proxies": PROXIES})
    command = (
        "run",
        "--rm",
        "--network",
        "none",
        "-e",
        "no_proxy=own",
        BUSYBOX,
        "sh",
        "-c",
        "env | grep -i proxy | sort",
    )
    theirs, ours = (run(work, client, config, *command) for client in ("docker", "onggi"))
    assert ours.stdout == theirs.stdout
    assert ours.stdout.split() == [
        "HTTP_PROXY=http://p:1",
        "NO_PROXY=a,b",
        "http_proxy=http://p:1",
        "no_proxy=own",
    ]


def test_headers_and_a_broken_file(tmp_path: Path) -> None:
    config = written(tmp_path, {"HttpHeaders": {"X-Team": "jars", "User-Agent": "other"}})
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[bytes] = []

    def answer() -> None:
        peer, _ = listener.accept()
        with peer:
            head = b""
            while b"\r\n\r\n" not in head and (data := peer.recv(65536)):
                head += data
            seen.append(head)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")

    thread = threading.Thread(target=answer)
    thread.start()
    host = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    env = {**os.environ, "DOCKER_CONFIG": str(config), "DOCKER_HOST": host}
    subprocess.run([str(engines.ONGGI), "ps", "-q"], env=env, check=True, timeout=60)
    thread.join()
    listener.close()
    assert b"X-Team: jars\r\n" in seen[0] and b"User-Agent: other" not in seen[0]
    (tmp_path / "config.json").write_text("{")
    done = subprocess.run([str(engines.ONGGI), "ps"], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "config.json" in done.stderr and "Traceback" not in done.stderr


def test_detach_keys_of_the_file(work: Engine, tmp_path: Path) -> None:
    config = written(tmp_path, {"detachKeys": "ctrl-nothing"})
    work.docker("run", "-d", "--name", "keyed", "--network", "none", BUSYBOX, "sleep", "100")
    said = [run(work, client, config, "attach", "keyed").stderr for client in ("docker", "onggi")]
    assert (
        "400" in said[0] and "invalid detach keys (ctrl-nothing)" in said[1]
    )  # docker names only the status


def test_a_context_that_is_gone_can_be_left(tmp_path: Path) -> None:
    config = written(tmp_path, {"currentContext": "gone"})
    env = {name: value for name, value in os.environ.items() if name != "DOCKER_HOST"}
    env["DOCKER_CONFIG"] = str(config)
    done = subprocess.run(
        [str(engines.ONGGI), "context", "use", "default"], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((config / "config.json").read_text()) == {}
