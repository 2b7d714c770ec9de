"""Clients that mean harm or are broken: any bytes, too many bytes, too slow, gone, and many at once."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from onggi.server.operations import TABLE
from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = pytest.mark.root
FOLLOWERS = 200
OUTSIDE = ("/events", "/images/search", "/distribution/{name}/json")  # endless, or asks a registry
CALM = {  # what a random request may ask for without changing the machine
    (method, path) for method, path, _ in TABLE if method in ("GET", "HEAD") and path not in OUTSIDE
} | {
    ("POST", "/containers/{id}/" + verb)
    for verb in ("start", "kill", "resize", "attach", "exec", "update", "wait")
}

_texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=20)
_words = st.sampled_from(
    ["json", "%00", "%2e%2e%2f", "..", "a" * 300, "%ff", "-1", "x:y@z", "\u00e9", "", "{}", "//"]
)
_names = st.sampled_from(
    [
        "filters",
        "since",
        "until",
        "tail",
        "size",
        "limit",
        "stream",
        "type",
        "path",
        "ps_args",
        "h",
        "signal",
        "x",
    ]
)
_values = st.one_of(
    _words, _texts, st.sampled_from(['{"a":{"b":true}}', '{"a":["b"]}', "[", "1e999", "9" * 40])
)
_headers = st.lists(
    st.sampled_from([
        b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Upgrade: tcp",
        b"Connection: Upgrade", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip",
        b"Expect: 100-continue",
        b"Content-Type: application/json", b"X: \xff\xfe", b" folded", b"Sec-WebSocket-Key: x", b"Host: a b",
        b"Upgrade: websocket", b"no colon", b"X-Registry-Auth: %%%",
    ]), max_size=4,
)  # fmt: skip
_bodies = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([
        b"{}", b"[]", b"null", b'{"Image":5}', b'{"Image":"x","HostConfig":[]}', b"[" * 5000, b'{"a":' * 900,
        b"5\r\nabcde\r\n0\r\n\r\n", b"ffffffffffffffff\r\n", b"zz\r\n", b'"\xff"', b'{"Cmd":["\\ud800"]}',
    ]),
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Something between a good request and none."""
    method, path = draw(st.sampled_from(sorted(CALM)))
    for name in ("id", "name"):
        path = path.replace(f"{{{name}}}", draw(st.one_of(_words, st.just("target"))))
    version = draw(st.sampled_from(["", "/v1.43", "/v1.24", "/v1.99", "/v0", "/v1.4.3", "/v99999999999.1"]))
    query = "&".join(f"{n}={v}" for n, v in draw(st.lists(st.tuples(_names, _values), max_size=3)))
    head = f"{method} {version}{path}?{query} HTTP/1.1\r\nHost: x\r\n".encode()
    head += b"".join(line + b"\r\n" for line in draw(_headers)) + b"\r\n"
    return head + draw(_bodies)


def _exchange(engine: Engine, data: bytes, seconds: float = 60) -> bytes:
    """Send, close our half, and read to the end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(engine.socket)  # waits while the queue is full
        sock.settimeout(seconds)
        parts = []
        with contextlib.suppress(ConnectionError):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while part := sock.recv(65536):
                parts.append(part)
        return b"".join(parts)


def _descriptors(engine: Engine) -> int:
    assert engine.process is not None
    return len(os.listdir(f"/proc/{engine.process.pid}/fd"))


@pytest.fixture(scope="module", autouse=True)
def clean(onggi: Engine) -> Iterator[None]:
    yield
    onggi.remove_all()


@pytest.fixture(scope="module")
def target(onggi: Engine) -> str:
    body = {"Image": BUSYBOX, "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
    return str(onggi.api("POST", "/containers/create?name=target", body)["Id"])


@settings(
    max_examples=int(os.environ.get("ONGGI_FUZZ_EXAMPLES", "250")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@example(data=b"POST /containers/target/attach?stream=json HTTP/1.1\r\nHost: x\r\n\r\n")
@example(data=b"POST /containers/target/attach?stream=1&stdin=1 HTTP/1.1\r\nHost: x\r\n\r\n")
@given(data=st.one_of(requests(), st.binary(max_size=300)))
def _any_bytes(engine: Engine, data: bytes) -> None:
    waits = b"/attach?" in data and b"stream=" in data and b"std" in data
    try:
        answer = _exchange(engine, data, 8 if waits else 60)
    except TimeoutError:  # who asks for output waits for it, as with dockerd
        assert waits
        return
    status = answer.split(b" ", 2)[1] if answer.startswith(b"HTTP/1.1 ") else b""
    unreachable = b"lookup failed" in answer  # a registry that a request led to; dockerd says 500, too
    assert status != b"500" or unreachable, answer[:400]
    assert engine.answers()


def test_any_bytes_are_answered_or_refused_and_nothing_leaks(onggi: Engine, target: str) -> None:
    _exchange(onggi, b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n")
    before = _descriptors(onggi)
    _any_bytes(onggi)
    assert "Traceback" not in onggi.log
    engines.until(lambda: _descriptors(onggi) <= before + 2)  # a worker thread or a database may have come


def test_arguments_that_ps_cannot_have(onggi: Engine) -> None:
    body = {"Image": BUSYBOX, "Cmd": ["sleep", "999"], "HostConfig": {"NetworkMode": "none"}}
    running = onggi.api("POST", "/containers/create", body)["Id"]
    onggi.api("POST", f"/containers/{running}/start")
    try:
        for arguments in ("-ef%00", "x" * 50_000, "-o%20nothing"):
            status, answer = onggi.request("GET", f"/containers/{running}/top?ps_args={arguments}")
            assert status == 400, answer
    finally:
        onggi.api("DELETE", f"/containers/{running}?force=1")


def test_more_than_the_limit_is_refused(onggi: Engine) -> None:
    big = b'{"Image":"' + b"x" * (5 << 20) + b'"}'
    head = b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    answer = _exchange(onggi, head + b"Content-Length: %d\r\n\r\n" % len(big) + big)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'{"message":"request body is larger than' in answer
    chunks = b"".join(b"%x\r\n%b\r\n" % (1 << 20, b"x" * (1 << 20)) for _ in range(6)) + b"0\r\n\r\n"
    answer = _exchange(onggi, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert answer.startswith(b"HTTP/1.1 413 ")
    answer = _exchange(onggi, b"GET /_ping HTTP/1.1\r\nHost: x\r\nX: " + b"y" * (1 << 20) + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_slow_and_vanished_clients_hold_up_nobody(onggi: Engine) -> None:
    run = "head -c 20000000 /dev/zero | tr '\\0' x"
    body = {"Image": BUSYBOX, "Cmd": ["sh", "-c", run], "HostConfig": {"NetworkMode": "none"}}
    talker = onggi.api("POST", "/containers/create", body)["Id"]
    onggi.api("POST", f"/containers/{talker}/start")
    onggi.api("POST", f"/containers/{talker}/wait", timeout=60)
    before = _descriptors(onggi)
    with contextlib.ExitStack() as stack:
        for begun in (
            b"GET /info",
            b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
            f"GET /containers/{talker}/logs?stdout=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        ):
            for _ in range(20):
                sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                sock.connect(onggi.socket)
                sock.sendall(begun)
        for _ in range(20):
            began = time.monotonic()
            assert onggi.answers()
            assert time.monotonic() - began < 10
    engines.until(lambda: _descriptors(onggi) <= before + 2)
    onggi.api("DELETE", f"/containers/{talker}?force=1")


def _memory_kib(pid: int) -> int:
    """Private and its share of what is shared, in KiB (proc(5), smaps_rollup)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def _ticks_of_two_seconds(pid: int) -> int:
    ticks = _ticks(pid)
    time.sleep(2)  # an idle time is what is measured
    return _ticks(pid) - ticks


def test_two_hundred_idle_followers_cost_little(onggi: Engine) -> None:
    assert onggi.process is not None
    pid = onggi.process.pid
    body = {"Image": BUSYBOX, "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none", "Init": True}}
    quiet = onggi.api("POST", "/containers/create", body)["Id"]
    onggi.api("POST", f"/containers/{quiet}/start")
    paths = ["/events", f"/containers/{quiet}/logs?stdout=1&follow=1"]
    before = _memory_kib(pid)
    with contextlib.ExitStack() as stack:
        for number in range(FOLLOWERS):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            sock.connect(onggi.socket)
            sock.sendall(f"GET {paths[number % 2]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert _memory_kib(pid) - before < 50 << 10
        engines.until(lambda: _ticks_of_two_seconds(pid) <= 2)  # of 200: 1 %, once what was before is done
    onggi.api("DELETE", f"/containers/{quiet}?force=1")
