"""LLB that BuildKit's own client package makes and sends: tests/clients/llb (scripts/go-client llb)."""

from __future__ import annotations

import hashlib
import http.server
import os
import subprocess
import threading
from pathlib import Path

import pytest

from tests import engines
from tests.buildx import BUILDX
from tests.repositories import repository, served

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
SOURCE = engines.TOP / "tests/clients/llb/main.go"
PROGRAM = BUILDX.parents[1] / f"llb-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}" / "llb"


def solve(engine: engines.Engine, case: str, *, fails: bool = False, **values: object) -> str:
    """What the client says."""
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is missing: run scripts/go-client llb")
    words = [f"{name}={value}" for name, value in values.items()]
    done = subprocess.run(
        [str(PROGRAM), engine.socket, case, "llb", *words], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout


def shown(engine: engines.Engine, command: str) -> str:
    return engine.onggi("run", "--rm", "llb", "sh", "-c", command)


@pytest.mark.parametrize(
    ("case", "command", "wanted"),
    [
        ("exec", "cat /tmp/out", "b /tmp 7:8 named 10.1.2.3 other 100\n"),
        ("mounts", "cat /out /written", "other\nhushhush\n1024\nread-only\nnew\n"),
        ("codes", "cat /out", "seven\n"),
        ("none", "cat /out", "lo\n"),
        ("files", "stat -c '%n %a %u' /all/f /some/* /wild/* /followed; readlink /all/link; cat /some/f",
         "/all/f 640 0\n/some/f 640 0\n/wild/f 640 0\n/followed 640 0\n/d/f\ntext"),
        ("merge", "cat /one /two /both", "122"),
        ("diff", "cat /more; ls /bin/true 2>&1; :", "more\nls: /bin/true: No such file or directory\n"),
    ],
)  # fmt: skip
def test_operations(engine: engines.Engine, case: str, command: str, wanted: str) -> None:
    solve(engine, case)
    assert shown(engine, command) == wanted


def test_sources(engine: engines.Engine, tmp_path: Path) -> None:
    directory = tmp_path / "dir"
    (directory / "deep").mkdir(parents=True)
    for name in ("kept", "deep/f", "deep/left", "no"):
        (directory / name).write_text(name)
    (directory / "link").symlink_to("deep/f")
    solve(engine, "local", dir=directory)
    assert shown(engine, "cd /of; find . | sort") == ".\n./deep\n./deep/f\n./kept\n"
    solve(engine, "follow", dir=directory)
    assert shown(engine, "cd /of; find . | sort") == ".\n./deep\n./deep/f\n./link\n"
    repository(tmp_path / "served", "app", {"f": "of git"})
    with served(tmp_path / "served") as host:
        solve(engine, "git", url=f"http://{host}/app.git", ref="main")
        assert shown(engine, "cat /of/f; test -d /of/.git && echo kept") == "of gitkept\n"
        assert "nothere" in solve(engine, "git", url=f"http://{host}/app.git", ref="nothere", fails=True)


class _One(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"content")

    def log_message(self, *_: object) -> None:
        pass


def test_an_address(engine: engines.Engine) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _One) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        solve(engine, "http", url=f"http://127.0.0.1:{server.server_address[1]}/x")
        server.shutdown()
    assert shown(engine, "stat -c '%a %u:%g' /of; cat /of") == "640 7:8\ncontent"


def test_paths_that_lead_out_stay_inside(engine: engines.Engine) -> None:
    solve(engine, "up")
    assert shown(engine, "cat /escaped") == "x"
    solve(engine, "link-out")
    assert shown(engine, "cat /tmp/escaped") == "x"
    solve(engine, "selector")
    assert "passwd\n" in shown(engine, "cat /out")
    solve(engine, "mount-up")
    solve(engine, "cwd-up")
    assert shown(engine, "cat /out") == "/\n"
    assert not os.path.exists("/escaped") and not os.path.exists("/tmp/onggi-escaped")


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("copy-up", '"/etc/hostname": not found'),
        ("missing", '"/no/such": not found'),
        ("absent", "local directory nobody not enabled"),
        ("fails", "did not complete successfully: exit code: 9"),
        ("insecure", "security.insecure is not allowed"),
        ("no-user", "unable to find user nobody-here"),
        ("image-missing", "connection refused"),
        ("http-missing", "failed to fetch http://127.0.0.1:1/x"),
        ("deep", "too many lower directories, limit is"),
    ],
)
def test_what_goes_wrong_is_the_clients_error(engine: engines.Engine, case: str, said: str) -> None:
    assert said in solve(engine, case, fails=True)
