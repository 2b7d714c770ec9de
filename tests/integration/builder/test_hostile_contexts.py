"""Directories that nobody would send on purpose, by each client; and clients that leave in the middle."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import buildx, engines
from tests.engines import Engine

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
CLIENTS = ("onggi", "docker", "buildx")
SPARSE = 96 << 20
SECRET = "of the host alone"


def command(client: str, context: Path, *words: str) -> list[str]:
    program = {"onggi": str(engines.ONGGI), "docker": "docker", "buildx": str(buildx.BUILDX)}[client]
    return [program, "build", "--progress=plain", *words, "."] if client == "buildx" else [
        program, "build", *words, "."
    ]  # fmt: skip


def start(engine: Engine, client: str, context: Path, *words: str) -> subprocess.Popen[str]:
    config = context.parent / "config"
    config.mkdir(exist_ok=True)
    return subprocess.Popen(
        command(client, context, *words), cwd=context, text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={
            "PATH": os.environ["PATH"], "HOME": str(config), "DOCKER_CONFIG": str(config),
            "DOCKER_HOST": engine.host, "DOCKER_BUILDKIT": "0",
        },
    )  # fmt: skip


def built(engine: Engine, client: str, context: Path, *words: str) -> tuple[int, str]:
    process = start(engine, client, context, *words)
    try:
        said, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, said


@pytest.fixture
def odd(context: Path) -> Iterator[Path]:
    """A bit of everything that a directory can hold but names that are no text."""
    (context.parent / "secret").write_text(SECRET)
    (context / "outside").symlink_to(context.parent / "secret")
    (context / "above").symlink_to("../secret")
    (context / "loop").symlink_to("loop")
    (context / "self").symlink_to(".")
    with (context / "sparse").open("wb") as file:
        file.truncate(SPARSE)
    os.mknod(context / "null", 0o600 | 0o020000, os.makedev(1, 3))
    os.mkfifo(context / "pipe")
    (context / "deep").joinpath(*["d" * 100] * 20).mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as door, contextlib.chdir(context):
        door.bind("door")
        yield context


@pytest.mark.parametrize("client", CLIENTS)
def test_an_odd_directory_is_copied_and_nothing_of_the_host(engine: Engine, odd: Path, client: str) -> None:
    (odd / "Dockerfile").write_text("FROM busybox:test\nCOPY . /all\n")
    code, said = built(engine, client, odd, "-t", f"odd-{client}:1")
    assert code == 0, said
    script = (
        "cd /all; for l in outside above loop self; do readlink $l; done | wc -l; "
        "stat -c %s sparse; stat -c %F pipe; ls deep | wc -l; "
        f"test -S door && echo a socket; grep -l '{SECRET}' outside above; echo looked"
    )
    found = engine.docker("run", "--rm", "--network", "none", f"odd-{client}:1", "sh", "-c", script)
    assert found.split("\n")[:4] == ["4", str(SPARSE), "fifo", "1"], found
    assert SECRET not in found and found.endswith("looked\n")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("source", ["outside", "above", "loop", "self/self/outside"])
def test_a_link_that_leads_out_is_not_found(engine: Engine, odd: Path, client: str, source: str) -> None:
    (odd / "Dockerfile").write_text(f"FROM busybox:test\nCOPY {source} /taken\nRUN cat /taken\n")
    (odd / ".dockerignore").write_text("sparse\n")
    code, said = built(engine, client, odd)
    assert code != 0 and SECRET not in said
    assert "not found" in said or "no such file" in said or "too many links" in said, said


@pytest.mark.parametrize("client", CLIENTS)
def test_names_that_are_no_text(engine: Engine, context: Path, client: str) -> None:
    """Tar carries them; protobuf's strings cannot, and buildx says so. The engine goes on."""
    with open(os.fsencode(context) + b"/not-\xff-text", "wb") as file:
        file.write(b"odd")
    (context / "Dockerfile").write_text("FROM busybox:test\nCOPY . /all\nRUN cat /all/not-*\n")
    code, said = built(engine, client, context, "-t", f"text-{client}:1")
    if client == "buildx":
        assert code != 0 and "UTF-8" in said, said
    else:
        assert code == 0, said
        assert engine.docker("run", "--rm", f"text-{client}:1", "sh", "-c", "cat /all/not-*") == "odd"
    assert engine.answers()


def sleeping(mark: str) -> bool:
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            if words[:2] == [b"sleep", mark.encode()]:
                return True
    return False


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "vanished"])
def test_a_client_that_leaves_ends_its_build(engine: Engine, context: Path, client: str, how: int) -> None:
    mark = f"4{CLIENTS.index(client)}{how:02}.5"
    before = set(os.listdir(engine.root / "snapshots"))
    (context / "Dockerfile").write_text(
        f"FROM busybox:test AS one\nRUN sleep {mark}\nFROM busybox:test\nRUN sleep {mark}\n"
        "COPY --from=one /etc/passwd /\n"
    )
    process = start(engine, client, context)
    try:
        engines.until(lambda: sleeping(mark), 60)
        process.send_signal(how)
        engines.until(lambda: not sleeping(mark), 10)  # a second where nothing else runs
    finally:
        process.kill()
        process.communicate()
    engines.until(lambda: not os.listdir(engine.exec_root / "shims"))
    engines.until(lambda: set(os.listdir(engine.root / "snapshots")) <= before)
    engines.until(lambda: engines.mounts(str(engine.root)) == [])


def test_a_client_that_leaves_while_its_process_starts(engine: Engine, tmp_path: Path) -> None:
    """The process is there before the engine has heard of it: it ends all the same."""
    for number in range(12):
        mark = f"47{number:02}.5"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(engine.socket)
            body = archive(f"FROM busybox:test\nRUN exec sleep {mark}\n".encode())
            client.sendall(
                b"POST /build HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            deadline = time.monotonic() + 60
            while not sleeping(mark):
                assert time.monotonic() < deadline
        engines.until(lambda mark=mark: not sleeping(mark), 10)  # type: ignore[misc]
    engines.until(lambda: not os.listdir(engine.exec_root / "shims"))


def archive(dockerfile: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(dockerfile)
        tar.addfile(info, io.BytesIO(dockerfile))
    return out.getvalue()


@pytest.mark.parametrize("client", CLIENTS)
def test_ten_megabytes_of_dockerfile_are_an_error_and_not_a_minute(
    engine: Engine, context: Path, client: str
) -> None:
    (context / "Dockerfile").write_text("FROM busybox:test\n" + "# no end\n" * 1_200_000)
    since = time.monotonic()
    code, said = built(engine, client, context)
    assert code != 0 and "more than 10485760 bytes" in said, said[-500:]
    assert time.monotonic() - since < 30


@pytest.mark.parametrize("client", CLIENTS)
def test_circles_and_bombs_name_their_line(engine: Engine, context: Path, client: str) -> None:
    bomb = "".join(f"ARG A{n}=$A{n - 1}$A{n - 1}$A{n - 1}$A{n - 1}\n" for n in range(1, 40))
    cases = {
        "FROM busybox:test AS a\nCOPY --from=b / /\nFROM busybox:test AS b\nCOPY --from=a / /\n": "b",
        "FROM busybox:test AS a\nCOPY --from=a / /\n": "circular",
        f"FROM busybox:test\nARG A0=xxxxxxxxxxxxxxxx\n{bomb}RUN true\n": "expands to more than",
    }
    for text, expected in cases.items():
        (context / "Dockerfile").write_text(text)
        code, said = built(engine, client, context)
        assert code != 0 and expected in said, said[-800:]
