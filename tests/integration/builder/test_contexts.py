"""Contexts of buildx: standard input, http, named directories and images, OCI layouts."""

from __future__ import annotations

import http.server
import io
import json
import os
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from tests import engines
from tests.buildx import BUILDX, buildx

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]


def archive(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def piped(engine: engines.Engine, context: Path, data: bytes, *args: str) -> str:
    done = subprocess.run(
        [str(BUILDX), *args], input=data, cwd=context, capture_output=True, timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": str(context), "DOCKER_HOST": f"unix://{engine.socket}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr.decode()


def test_an_archive_from_standard_input(engine: engines.Engine, context: Path) -> None:
    data = archive({"Dockerfile": "FROM scratch\nCOPY f /\n", "f": "piped"})
    piped(engine, context, data, "build", "-o", "made", "-")
    assert (context / "made/f").read_text() == "piped"
    piped(
        engine,
        context,
        b"FROM scratch\nCOPY --from=busybox:test /bin/busybox /\n",
        "build",
        "-o",
        "alone",
        "-",
    )
    assert os.listdir(context / "alone") == ["busybox"]


def test_an_archive_at_an_address(engine: engines.Engine, context: Path) -> None:
    data = archive({"Dockerfile": "FROM scratch\nCOPY f /\n", "f": "fetched"})

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = data if self.path.endswith(".tgz") else b"FROM busybox:test\nRUN echo alone > /f\n"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_address[1]}"
            buildx(engine, context, "build", "-o", "made", f"{address}/context.tgz")
            buildx(engine, context, "build", "-t", "dockerfile-alone", f"{address}/Dockerfile")
        finally:
            server.shutdown()
            thread.join()
    assert (context / "made/f").read_text() == "fetched"
    assert engine.onggi("run", "--rm", "dockerfile-alone", "cat", "/f") == "alone\n"


def test_named_directories_and_images(engine: engines.Engine, context: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "kept").write_text("kept")
    (other / "left").write_text("left")
    (other / ".dockerignore").write_text("left\n")
    (context / "Dockerfile").write_text(
        "FROM named\nCOPY --from=dir . /dir\nRUN --mount=from=dir,target=/m ls -A /m > /mounted\n"
    )
    buildx(
        engine, context, "build", "--build-context", f"dir={other}",
        "--build-context", "named=docker-image://busybox:test", "-t", "named", ".",
    )  # fmt: skip
    assert engine.onggi("run", "--rm", "named", "ls", "-A", "/dir") == ".dockerignore\nkept\n"
    assert "kept" in engine.onggi("run", "--rm", "named", "cat", "/mounted")


def test_an_oci_layout_is_a_base(engine: engines.Engine, context: Path) -> None:
    (context / "Dockerfile").write_text(
        "FROM busybox:test\nENV A=of-layout\nRUN cat /proc/sys/kernel/random/uuid > /u\n"
    )
    buildx(
        engine, context, "build", "-t", "base:1", "-o", "type=oci,tar=false,dest=layout,compression=gzip", "."
    )
    engine.api("POST", "/v1.51/build/prune?all=1")
    (context / "Dockerfile").write_text("FROM base\nRUN echo $A > /a\n")
    named = f"base=oci-layout://{context}/layout:1"
    buildx(engine, context, "build", "--build-context", named, "-t", "on-layout", ".")
    first = engine.onggi("run", "--rm", "on-layout", "cat", "/a", "/u")
    assert first.startswith("of-layout\n") and len(first) > 40
    out = buildx(
        engine, context, "build", "--progress=plain", "--build-context", named, "-t", "on-layout", "."
    )
    assert out.count("CACHED") == 2
    (entry,) = json.loads((context / "layout/index.json").read_text())["manifests"]
    manifest = context / "layout/blobs/sha256" / entry["digest"][7:]
    manifest.chmod(0o644)
    manifest.write_text(manifest.read_text() + " ")
    out = buildx(engine, context, "build", "--build-context", named, ".", fails=True)
    assert "corrupt" in out
