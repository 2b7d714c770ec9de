"""Builds through the classic door of a real engine: the cache, cancelling, failures, what is left behind."""

from __future__ import annotations

import gzip
import http.server
import io
import json
import os
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import engines

pytestmark = pytest.mark.root


def archive(**files: str) -> bytes:
    """A context; `__` in a name is a slash."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size, info.mode = len(text.encode()), 0o644
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def build(engine: engines.Engine, context: bytes, query: str = "") -> list[dict[str, Any]]:
    status, body = engine.request("POST", f"/build?{query}", context)
    assert status == 200, body
    return [json.loads(line) for line in body.splitlines() if line]


def text(lines: list[dict[str, Any]]) -> str:
    return "".join(line.get("stream", "") for line in lines)


def image_id(lines: list[dict[str, Any]]) -> str:
    assert "error" not in lines[-1], lines[-1]
    return next(line["aux"]["ID"] for line in lines if "aux" in line)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Engine]:
    with engines.onggi(tmp_path_factory.mktemp("builds")) as engine:
        engines.import_busybox(engine)
        yield engine


def nothing_of_steps(engine: engines.Engine) -> None:
    """No step has left a directory, a snapshot of its own, a cgroup, a shim or a process."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        left = [*os.listdir(engine.root / "containers"), *os.listdir(engine.exec_root / "shims")]
        left += [path for path in engines.cgroups(engine) if len(Path(path).name) == 64]
        if not left:
            return
        time.sleep(0.02)
    raise AssertionError(left)


def test_a_second_build_comes_out_of_the_cache(engine: engines.Engine) -> None:
    dockerfile = "FROM busybox:test\nRUN echo one > /one\nCOPY f /f\nRUN cat /f\n"
    first = build(engine, archive(Dockerfile=dockerfile, f="1"))
    again = build(engine, archive(Dockerfile=dockerfile, f="1"))
    assert image_id(first) == image_id(again)
    assert text(again).count("Using cache") == 3
    assert "Running in" in text(first) and "Running in" not in text(again)
    other = build(engine, archive(Dockerfile=dockerfile, f="2"))
    assert text(other).count("Using cache") == 1
    fresh = build(engine, archive(Dockerfile=dockerfile, f="1"), "nocache=1")
    assert "Using cache" not in text(fresh)
    nothing_of_steps(engine)


def test_stages_that_the_target_does_not_need_are_not_built(engine: engines.Engine) -> None:
    dockerfile = (
        "FROM busybox:test AS a\nRUN echo a > /a\nFROM busybox:test AS bad\nRUN exit 9\n"
        "FROM busybox:test AS c\nCOPY --from=a /a /c\nFROM bad\n"
    )
    lines = build(engine, archive(Dockerfile=dockerfile), "target=c")
    assert "exit 9" not in text(lines)
    assert image_id(lines)


def test_a_failed_step_says_its_code_and_leaves_nothing(engine: engines.Engine) -> None:
    lines = build(engine, archive(Dockerfile="FROM busybox:test\nRUN echo said; echo bad >&2; exit 7\n"))
    said = "The command '/bin/sh -c echo said; echo bad >&2; exit 7' returned a non-zero code: 7"
    assert lines[-1] == {"errorDetail": {"code": 7, "message": said}, "error": said}
    assert "said\n" in text(lines) and "\x1b[91mbad\n\x1b[0m" in text(lines)
    nothing_of_steps(engine)


@pytest.mark.parametrize(
    ("dockerfile", "message"),
    [
        (
            "FORM busybox\n",
            "dockerfile parse error on line 1: unknown instruction: FORM (did you mean FROM?)",
        ),
        ("RUN x\n", "no build stage in current context"),
    ],
)
def test_a_dockerfile_that_is_wrong_is_a_status(
    engine: engines.Engine, dockerfile: str, message: str
) -> None:
    status, body = engine.request("POST", "/build", archive(Dockerfile=dockerfile))
    assert status == 400
    assert message in json.loads(body)["message"]


def test_a_missing_source_is_named(engine: engines.Engine) -> None:
    lines = build(engine, archive(Dockerfile="FROM busybox:test\nCOPY nothing /\n"))
    assert '"/nothing": not found' in lines[-1]["error"]


def test_links_of_a_context_lead_nowhere(engine: engines.Engine) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        dockerfile = b"FROM busybox:test\nCOPY link/hostname /taken\n"
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(dockerfile)
        tar.addfile(info, io.BytesIO(dockerfile))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
    assert "not found" in build(engine, out.getvalue())[-1]["error"]


def begin(engine: engines.Engine, context: bytes, query: str = "") -> socket.socket:
    """A build whose step runs when this returns."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(engine.socket)  # waits while the queue is full
    connection.settimeout(60)
    head = f"POST /build?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(context)}\r\n\r\n"
    connection.sendall(head.encode() + context)
    seen = b""
    while b"begun" not in seen:
        data = connection.recv(4096)
        assert data, seen
        seen += data
    return connection


def sleepers(mark: str) -> list[str]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark.encode() in Path(f"/proc/{name}/cmdline").read_bytes():
                found.append(name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("how", ["client", "request"])
def test_a_build_that_is_cancelled_ends_within_a_second(engine: engines.Engine, how: str) -> None:
    mark = "7654.321" if how == "client" else "7654.322"
    context = archive(Dockerfile=f"FROM busybox:test\nRUN echo beg''un; sleep {mark}\n")
    connection = begin(engine, context, "buildid=mine")
    assert sleepers(mark)
    if how == "client":
        connection.close()
    else:
        assert engine.request("POST", "/build/cancel?id=mine")[0] == 200
    engines.until(lambda: not sleepers(mark), 10)  # a second where nothing else runs
    connection.close()
    nothing_of_steps(engine)


def test_a_daemon_that_dies_leaves_a_cache_that_is_whole(tmp_path: Path) -> None:
    with engines.onggi(tmp_path) as engine:
        engines.import_busybox(engine)
        dockerfile = "FROM busybox:test\nRUN echo one > /one\nRUN echo beg''un; sleep 7654.323\n"
        connection = begin(engine, archive(Dockerfile=dockerfile))
        engine.kill()
        connection.close()
        engine.start()
        engines.until(lambda: not sleepers("7654.323"))
        nothing_of_steps(engine)
        lines = build(engine, archive(Dockerfile="FROM busybox:test\nRUN echo one > /one\nRUN cat /one\n"))
        assert text(lines).count("Using cache") == 1
        assert "one\n" in text(lines)
    assert engines.leftovers(engine) == []


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A server on loopback that knows ETags; what it serves lies in tmp_path."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = tmp_path / self.path.strip("/")
            if not path.exists():
                self.send_error(404)
                return
            data = path.read_bytes()
            tag = f'"{hash(data)}"'
            asked.append(self.headers.get("If-None-Match", ""))
            self.send_response(304 if asked[-1] == tag else 200)
            self.send_header("ETag", tag)
            self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
            self.end_headers()
            if asked[-1] != tag:
                self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    asked: list[str] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_add_of_an_address(engine: engines.Engine, web: str, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("served\n")
    dockerfile = (
        f"FROM busybox:test\nADD {web}/file.txt /added/\nRUN stat -c %a:%Y /added/file.txt; cat /added/*\n"
    )
    first = build(engine, archive(Dockerfile=dockerfile))
    assert "600:1445412480\nserved\n" in text(first)
    assert image_id(build(engine, archive(Dockerfile=dockerfile))) == image_id(first)
    (tmp_path / "file.txt").write_text("changed\n")
    assert "changed\n" in text(build(engine, archive(Dockerfile=dockerfile)))
    missing = build(engine, archive(Dockerfile=f"FROM busybox:test\nADD {web}/none /\n"))
    assert "404" in missing[-1]["error"]
    wrong = f"FROM busybox:test\nADD --checksum=sha256:{'0' * 64} {web}/file.txt /\n"
    assert "digest mismatch" in build(engine, archive(Dockerfile=wrong))[-1]["error"]


def test_a_remote_context_is_an_archive_or_a_dockerfile(
    engine: engines.Engine, web: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox:test\nRUN echo from afar\n")
    assert "from afar\n" in text(build(engine, b"", f"remote={web}/Dockerfile"))
    packed = gzip.compress(archive(Dockerfile="FROM busybox:test\nCOPY f /f\nRUN cat /f\n", f="inside\n"))
    (tmp_path / "context.tar.gz").write_bytes(packed)
    assert "inside\n" in text(build(engine, b"", f"remote={web}/context.tar.gz"))
    assert engine.request("POST", f"/build?remote={web}/none", b"")[0] == 404


def test_the_cache_has_a_cap(tmp_path: Path) -> None:
    """Leaf-first by last use: the oldest steps go when the newest do not fit beside them."""
    (tmp_path / "daemon.json").write_text('{"builder": {"gc": {"defaultKeepStorage": "2500k"}}}')
    with engines.onggi(tmp_path, "--config-file", str(tmp_path / "daemon.json")) as engine:
        engines.import_busybox(engine)
        for number in range(4):
            step = f"RUN dd if=/dev/urandom of=/big bs=1k count=1000 # {number}\n"
            build(engine, archive(Dockerfile="FROM busybox:test\n" + step))
            engine.api("POST", "/images/prune")
        deadline = time.monotonic() + 30
        while len(kept := engine.api("GET", "/v1.41/system/df")["BuildCache"]) > 2:
            assert time.monotonic() < deadline, kept
            time.sleep(0.02)
        assert {record["Description"][-1] for record in kept} == {"2", "3"}
        engines.until(lambda: len(list((engine.root / "snapshots").glob("*/fs/big"))) == 2)
