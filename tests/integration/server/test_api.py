"""The Engine API of a running daemon, over its socket, without any client's library in between."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import engines
from tests.integration.images import test_images_hostile as archives

pytestmark = pytest.mark.root


def call(engine: engines.Engine, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    status, _, document = full(engine, method, path, body)
    return status, document


def full(engine: engines.Engine, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
    connection = engines.UnixHTTP(engine.socket)
    try:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"} if data is not None else {}
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        text = answer.read()
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        return answer.status, dict(answer.headers), json.loads(text) if is_json and text else text
    finally:
        connection.close()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An engine without images."""
    with engines.onggi(tmp_path_factory.mktemp("bare")) as engine:
        yield engine


def test_ping_names_the_api(bare: engines.Engine) -> None:
    status, headers, body = full(bare, "GET", "/_ping")
    assert (status, body) == (200, b"OK")
    assert (
        headers["Api-Version"] == "1.55" and headers["Ostype"] == "linux" and headers["Swarm"] == "inactive"
    )


def test_version_and_info_tell_the_truth(bare: engines.Engine) -> None:
    _, version = call(bare, "GET", "/version")
    assert version["KernelVersion"] == os.uname().release and version["Components"][0]["Name"] == "Engine"
    _, info = call(bare, "GET", "/v1.44/info")
    assert info["DockerRootDir"] == str(bare.root) and info["NCPU"] == len(os.sched_getaffinity(0))
    assert (
        info["Containers"] == info["ContainersRunning"] + info["ContainersPaused"] + info["ContainersStopped"]
    )
    assert call(bare, "GET", "/info")[1]["ID"] == info["ID"]


SWARM = ("/swarm", "/nodes", "/services", "/tasks", "/services/x", "/tasks/x/logs")


@pytest.mark.parametrize("path", SWARM)
def test_swarm_operations(bare: engines.Engine, path: str) -> None:
    status, body = call(bare, "GET", path)
    assert status == 503 and body["message"].startswith("This node is not a swarm manager.")


def test_operations_that_are_not_here_say_so(bare: engines.Engine) -> None:
    status, body = call(bare, "POST", "/plugins/pull", {})
    assert status == 501 and "this engine" in body["message"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/containers/json?filters=x", "invalid filter"),
        ("/containers/json?filters=%7B%22foo%22%3A%5B%22a%22%5D%7D", "invalid filter 'foo'"),
        ("/containers/json?filters=%7B%22status%22%3A%5B%22zz%22%5D%7D", "invalid filter 'status=zz'"),
        ("/containers/json?limit=abc", 'strconv.Atoi: parsing "abc": invalid syntax'),
        ("/events?since=abc", 'failed to parse value as time or duration: "abc"'),
        ("/events?since=20&until=10", "cannot be after"),
        ("/system/df?type=nope", "unknown object type: nope"),
    ],
)
def test_parameters_that_are_wrong(bare: engines.Engine, path: str, message: str) -> None:
    status, body = call(bare, "GET", path)
    assert status == 400 and message in body["message"]


def test_objects_that_are_not_there(bare: engines.Engine) -> None:
    assert call(bare, "GET", "/containers/zzz/json") == (404, {"message": "No such container: zzz"})
    assert call(bare, "GET", "/volumes/zzz") == (404, {"message": "get zzz: no such volume"})
    assert call(bare, "GET", "/networks/zzz") == (404, {"message": "network zzz not found"})
    assert call(bare, "POST", "/exec/zzz/start", {}) == (404, {"message": "No such exec instance: zzz"})
    assert call(bare, "GET", "/zzz") == (404, {"message": "page not found"})


def test_volumes_have_dockerds_shape(bare: engines.Engine) -> None:
    status, made = call(bare, "POST", "/volumes/create", {"Name": "shape", "Labels": {"a": "b"}})
    assert status == 201 and set(made) == {
        "CreatedAt", "Driver", "Labels", "Mountpoint", "Name", "Options", "Scope",
    }  # fmt: skip
    assert made["Options"] is None and made["Scope"] == "local"
    listed = call(bare, "GET", "/volumes")[1]
    assert listed == {"Volumes": [made], "Warnings": None}
    assert call(bare, "DELETE", "/volumes/shape")[0] == 204


def test_events_come_as_they_happen(bare: engines.Engine) -> None:
    connection = engines.UnixHTTP(bare.socket)
    connection.request("GET", "/events?filters=%7B%22type%22%3A%7B%22volume%22%3Atrue%7D%7D")
    answer = connection.getresponse()
    assert answer.status == 200
    call(bare, "POST", "/volumes/create", {"Name": "happening"})
    event = json.loads(answer.readline())
    assert (event["Type"], event["Action"], event["Actor"]["ID"]) == ("volume", "create", "happening")
    assert event["timeNano"] // 10**9 == event["time"] and "status" not in event
    connection.close()


def test_load_tells_its_progress_while_the_archive_still_comes(bare: engines.Engine) -> None:
    layer = archives.tar(("big", os.urandom(4 << 20)))
    data = archives.archive([layer], RepoTags=["big:1"])
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(bare.socket)
    head = f"POST /images/load?quiet=0 HTTP/1.1\r\nHost: d\r\nContent-Length: {len(data)}\r\n"
    client.sendall(f"{head}Content-Type: application/x-tar\r\n\r\n".encode() + data[: 2 << 20])
    answer = b""
    while b"Loading layer" not in answer:  # half of it is still to come
        answer += client.recv(65536)
    client.sendall(data[2 << 20 :])
    while b"Loaded image: big:1" not in answer:
        piece = client.recv(65536)
        assert piece and b"error" not in answer, answer[-500:]
        answer += piece
    client.close()
    assert call(bare, "DELETE", "/images/big:1")[0] == 200


def test_a_half_sent_request_blocks_nobody(bare: engines.Engine) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            slow = stack.enter_context(socket.socket(socket.AF_UNIX))
            slow.connect(bare.socket)
            slow.sendall(b"POST /volumes/create HTTP/1.1\r\nHost: d\r\nContent-Length: 100\r\n\r\n{")
        assert call(bare, "GET", "/_ping")[0] == 200


def test_a_second_daemon_of_the_same_root_is_refused(bare: engines.Engine, tmp_path: Path) -> None:
    words = ["daemon", "--data-root", str(bare.root), "--exec-root", str(tmp_path)]
    done = subprocess.run([str(engines.ONGGI), *words], capture_output=True, text=True, timeout=60)
    assert bare.process is not None
    assert done.returncode == 1 and f"pid {bare.process.pid}" in done.stderr
    assert bare.answers()


def test_sigterm_ends_it_cleanly_and_the_socket_goes(tmp_path: Path) -> None:
    with engines.onggi(tmp_path) as engine:
        assert engine.process is not None
        pid_file = engine.exec_root / "onggi.pid"
        assert pid_file.read_text() == f"{engine.process.pid}\n"
        stream = engines.UnixHTTP(engine.socket)
        stream.request("GET", "/events")
        assert stream.getresponse().status == 200
        engine.process.send_signal(signal.SIGTERM)
        assert engine.process.wait(60) == 0
        assert not Path(engine.socket).exists() and not pid_file.exists()
        stream.close()
        engine.start()


def test_readiness_is_told_to_the_service_manager(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        root, run = tmp_path / "root", tmp_path / "run"
        run.mkdir()
        words = [
            "daemon",
            "--data-root",
            str(root),
            "--exec-root",
            str(run),
            "-H",
            f"unix://{run}/engine.sock",
        ]
        env = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        engine = engines.Engine("onggi", root, run, [str(engines.ONGGI), *words], env=env)
        engine.start()
        try:
            assert manager.recv(100) == b"READY=1"
            assert engine.process is not None
            engine.process.send_signal(signal.SIGTERM)
            assert manager.recv(100) == b"STOPPING=1"
        finally:
            engines.end(engine)


def test_keep_alive_and_many_requests(bare: engines.Engine) -> None:
    connection: http.client.HTTPConnection = engines.UnixHTTP(bare.socket)
    for _ in range(100):
        connection.request("GET", "/v1.47/containers/json?all=1")
        answer = connection.getresponse()
        assert answer.status == 200 and json.loads(answer.read()) == []
    connection.close()
