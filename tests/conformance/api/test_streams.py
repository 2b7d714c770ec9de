"""Streams of the API that have a form of their own: WebSocket attach, events over reconnections, wait of
old.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    Request,
    TextMessage,
)

from tests import engines
from tests.engines import BUSYBOX, Engine, UnixHTTP

pytestmark = pytest.mark.root


class WebSocket:
    """A client of wsproto's on a Unix socket."""

    def __init__(self, engine: Engine, target: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(engine.socket)  # waits while the queue is full; with a time limit it would fail
        self.sock.settimeout(20)
        self.frames = WSConnection(ConnectionType.CLIENT)
        self.send(Request(host="localhost", target=target))
        assert isinstance(next(self.events()), AcceptConnection)

    def send(self, event: Event) -> None:
        self.sock.sendall(self.frames.send(event))

    def events(self) -> Iterator[Event]:
        while True:
            yield from self.frames.events()
            data = self.sock.recv(65536)
            self.frames.receive_data(data or None)
            if not data:
                return

    def output(self) -> bytes:
        """All output until the close; closes as well."""
        found = b""
        for event in self.events():
            if isinstance(event, BytesMessage | TextMessage):
                found += event.data.encode() if isinstance(event.data, str) else bytes(event.data)
            elif isinstance(event, CloseConnection):
                break
        self.sock.close()
        return found


def make(engine: Engine, script: str, **more: object) -> str:
    body = {"Image": BUSYBOX, "Cmd": ["sh", "-c", script], **more}
    return str(engine.api("POST", "/containers/create", body)["Id"])


@pytest.mark.parametrize("version", ["v1.27", "v1.41", "v1.55"])
def test_a_websocket_attach_gives_and_takes(onggi: Engine, version: str) -> None:
    container = make(onggi, "cat; echo bye >&2", OpenStdin=True, StdinOnce=True)
    target = f"/{version}/containers/{container}/attach/ws?stream=1&stdin=1&stdout=1&stderr=1"
    attached = WebSocket(onggi, target)
    onggi.api("POST", f"/containers/{container}/start")
    attached.send(Ping(payload=b"x"))
    attached.send(TextMessage(data="one\n"))
    attached.send(BytesMessage(data=b"two\n"))
    assert isinstance(next(attached.events()), Pong)
    time_limit = time.monotonic() + 30
    seen = b""
    for event in attached.events():
        assert time.monotonic() < time_limit
        expected = TextMessage if version == "v1.27" else BytesMessage
        assert isinstance(event, expected)
        seen += event.data.encode() if isinstance(event.data, str) else bytes(event.data)
        if seen == b"one\ntwo\n":
            break
    attached.send(CloseConnection(code=1000))
    assert onggi.api("POST", f"/containers/{container}/wait")["StatusCode"] == 0
    attached.sock.close()
    assert onggi.api("POST", f"/containers/{container}/wait")["StatusCode"] == 0
    onggi.api("DELETE", f"/containers/{container}")


def test_a_websocket_attach_ends_with_the_container(onggi: Engine) -> None:
    container = make(onggi, "echo out; echo err >&2; exit 3")
    attached = WebSocket(onggi, f"/containers/{container}/attach/ws?stream=1&stdout=1")
    onggi.api("POST", f"/containers/{container}/start")
    assert attached.output() == b"out\n"
    onggi.api("DELETE", f"/containers/{container}?force=1")


def test_a_websocket_that_vanishes_leaves_nothing(onggi: Engine) -> None:
    container = make(onggi, "sleep 1000", OpenStdin=True)
    onggi.api("POST", f"/containers/{container}/start")
    assert onggi.process is not None
    directory = f"/proc/{onggi.process.pid}/fd"
    before = len(os.listdir(directory))
    for _ in range(20):
        WebSocket(onggi, f"/containers/{container}/attach/ws?stream=1&stdin=1&stdout=1&stderr=1").sock.close()
    engines.until(lambda: len(os.listdir(directory)) <= before)
    onggi.api("DELETE", f"/containers/{container}?force=1")


def test_a_handshake_that_is_none_is_refused_before_anything_happens(onggi: Engine) -> None:
    container = make(onggi, "true")
    status, body = onggi.request("GET", f"/containers/{container}/attach/ws")
    assert status == 400
    assert b"WebSocket" in body
    assert onggi.api("GET", f"/containers/{container}/json")["State"]["Status"] == "created"
    onggi.api("DELETE", f"/containers/{container}")


def test_no_event_is_lost_or_doubled_by_one_who_reconnects(onggi: Engine) -> None:
    """A reader goes on one nanosecond behind the last event it saw, while another makes events."""
    begin = time.time_ns()
    names = [f"reconnect{number}" for number in range(150)]
    maker = threading.Thread(
        target=lambda: [onggi.api("POST", "/volumes/create", {"Name": name}) for name in names]
    )
    maker.start()
    seen: list[str] = []
    last = begin
    deadline = time.monotonic() + 60
    while len(seen) < len(names) and time.monotonic() < deadline:
        until = time.time_ns() + 20_000_000
        since, end = f"{last // 10**9}.{last % 10**9:09}", f"{until // 10**9}.{until % 10**9:09}"
        wanted = '%7B"event":%5B"create"%5D,"type":%5B"volume"%5D%7D'.replace('"', "%22")
        _, text = onggi.request("GET", f"/events?since={since}&until={end}&filters={wanted}")
        for line in text.splitlines():
            event = json.loads(line)
            seen.append(event["Actor"]["ID"])
            last = event["timeNano"] + 1
    maker.join()
    assert seen == names
    for name in names:
        onggi.request("DELETE", f"/volumes/{name}")


@pytest.mark.parametrize(
    ("version", "accept", "content_type", "first"),
    [
        ("1.51", "application/x-ndjson", "application/json", b"{"),
        ("1.52", "application/x-ndjson", "application/x-ndjson", b"{"),
        ("1.52", "application/jsonl", "application/json", b"{"),
        ("1.53", "application/jsonl", "application/jsonl", b"{"),
        ("1.53", "application/json-seq", "application/json-seq", b"\x1e{"),
    ],
)
def test_forms_of_events(onggi: Engine, version: str, accept: str, content_type: str, first: bytes) -> None:
    onggi.api("POST", "/volumes/create", {"Name": "forms"})
    onggi.api("DELETE", "/volumes/forms")
    connection = UnixHTTP(onggi.socket)
    now = time.time()
    target = f"/v{version}/events?since={now - 60:.3f}&until={now:.3f}"
    connection.request("GET", target, headers={"Accept": accept})
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == content_type
    assert answer.read().startswith(first)
    connection.close()


def test_wait_before_1_30_answers_when_it_is_over(onggi: Engine) -> None:
    container = make(onggi, "exit 4")
    onggi.api("POST", f"/containers/{container}/start")
    assert onggi.api("POST", f"/v1.29/containers/{container}/wait?condition=nonsense")["StatusCode"] == 4
    assert onggi.request("POST", f"/v1.30/containers/{container}/wait?condition=nonsense")[0] == 400
    onggi.api("DELETE", f"/containers/{container}")


def test_disk_usage_in_the_forms_of_its_versions(onggi: Engine) -> None:
    old = onggi.api("GET", "/v1.51/system/df")
    both = onggi.api("GET", "/v1.52/system/df")
    new = onggi.api("GET", "/v1.53/system/df?verbose=1")
    assert set(old) == {"LayersSize", "Images", "Containers", "Volumes", "BuildCache"}
    assert {"ImageUsage", "Images"} <= set(both)
    assert set(new) == {"ImageUsage", "ContainerUsage", "VolumeUsage", "BuildCacheUsage"}
    # the database is in it, which may grow at any moment
    assert new["ImageUsage"]["TotalSize"] == pytest.approx(old["LayersSize"], rel=0.01)
    assert len(new["ImageUsage"]["Items"]) == new["ImageUsage"]["TotalCount"] == len(old["Images"])
    assert "Items" not in both["ImageUsage"]
    assert set(onggi.api("GET", "/system/df?type=volume")) == {"VolumeUsage"}
    assert "BuilderSize" in onggi.api("GET", "/v1.41/system/df")


def test_a_checkpoint_is_refused_by_name(onggi: Engine) -> None:
    container = make(onggi, "true")
    status, body = onggi.request("POST", f"/containers/{container}/checkpoints", {"CheckpointID": "x"})
    assert status == 501
    assert container.encode() in body
    assert onggi.request("GET", "/containers/nope/checkpoints")[0] == 404
    onggi.api("DELETE", f"/containers/{container}")


def test_a_body_beyond_the_limit_is_413(onggi: Engine) -> None:
    big = {"Image": BUSYBOX, "Env": ["A=" + "x" * (5 << 20)]}
    status, body = onggi.request("POST", "/containers/create", big)
    assert status == 413, body
