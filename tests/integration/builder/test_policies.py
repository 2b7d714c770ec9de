"""Source policies of the real buildx: EXPERIMENTAL_BUILDKIT_SOURCE_POLICY."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import engines
from tests.buildx import buildx
from tests.repositories import repository, served

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
Build = Callable[..., str]


@pytest.fixture
def build(engine: engines.Engine, context: Path) -> Build:
    (context / "Dockerfile").write_text("FROM busybox:test\nRUN cat /of > /which 2>/dev/null || true\n")

    def run(*rules: dict[str, object], fails: bool = False, tag: str = "policed") -> str:
        file = context.parent / "policy.json"
        file.write_text(json.dumps({"rules": rules}))
        return buildx(
            engine, context, "build", "--progress=plain", "-t", tag, ".", fails=fails,
            EXPERIMENTAL_BUILDKIT_SOURCE_POLICY=str(file),
        )  # fmt: skip

    return run


def rule(action: str, identifier: str, to: str = "", **attrs: str) -> dict[str, object]:
    found: dict[str, object] = {"action": action, "selector": {"identifier": identifier}}
    if to or attrs:
        found["updates"] = {"identifier": to, "attrs": attrs}
    return found


def test_a_denied_image_is_named(build: Build) -> None:
    said = build(rule("DENY", "docker-image://*"), fails=True)
    image = "docker-image://docker.io/library/busybox:test"
    assert f'source "{image}" denied by policy: source denied by policy' in said
    build(rule("DENY", "docker-image://*"), rule("ALLOW", "docker-image://docker.io/library/busybox:*"))


def test_an_image_is_converted(build: Build, engine: engines.Engine, context: Path) -> None:
    buildx(
        engine, context, "build", "-t", "other:1", "-", fails=True
    )  # a client without a policy is as before
    (context / "other.Dockerfile").write_text("FROM busybox:test\nRUN echo the other > /of\n")
    buildx(engine, context, "build", "-t", "other:1", "-f", "other.Dockerfile", ".")
    image = "docker-image://docker.io/library/"
    said = build(rule("CONVERT", f"{image}busybox:test", f"{image}other:1"))
    assert "FROM docker.io/library/other:1@sha256:" in said
    assert engine.onggi("run", "--rm", "policed", "cat", "/which") == "the other\n"
    assert "too many operations" in build(
        rule("CONVERT", f"{image}busybox:test", f"{image}other:1"),
        rule("CONVERT", f"{image}other:1", f"{image}busybox:test"),
        fails=True,
    )


def test_addresses_and_directories(
    build: Build, engine: engines.Engine, context: Path, tmp_path: Path
) -> None:
    repository(tmp_path / "served", "app", {"f": "of the repository"})
    repository(tmp_path / "served", "mirror", {"f": "of the mirror"})
    with served(tmp_path / "served") as host:
        (context / "Dockerfile").write_text(f"FROM busybox:test\nADD http://{host}/app.git /src\n")
        git = f"git://{host}/app.git*"
        assert "denied by policy" in build(rule("DENY", git), fails=True)
        convert = rule("CONVERT", git, f"git://{host}/mirror.git$1")
        convert["updates"]["attrs"] = {"git.fullurl": f"http://{host}/mirror.git"}  # type: ignore[index]
        build(convert)
        assert engine.onggi("run", "--rm", "policed", "cat", "/src/f") == "of the mirror"
    (context / "Dockerfile").write_text("FROM busybox:test\nCOPY Dockerfile /\n")
    denied = build(rule("DENY", "local://context"), fails=True)
    assert 'source "local://context" denied by policy' in denied


class _One(http.server.BaseHTTPRequestHandler):
    """One file at every address."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"content")

    def log_message(self, *_: object) -> None:
        pass


def test_a_checksum_is_pinned(build: Build, engine: engines.Engine, context: Path) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _One) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/f"
        (context / "Dockerfile").write_text(f"FROM busybox:test\nADD {url} /f\n")
        wrong = rule("CONVERT", url, "", **{"http.checksum": "sha256:" + "0" * 64})
        assert "0" * 64 in build(wrong, fails=True)
        right = "sha256:" + hashlib.sha256(b"content").hexdigest()
        build(rule("CONVERT", url, "", **{"http.checksum": right}))
        assert engine.onggi("run", "--rm", "policed", "cat", "/f") == "content"
        server.shutdown()
