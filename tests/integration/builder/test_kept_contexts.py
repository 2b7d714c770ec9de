"""A context is sent and read once: afterwards what has changed goes over the socket, by both doors."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.buildx import buildx
from tests.engines import Engine

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
FILES, BYTES = 300, 8000
DOCKERFILE = "FROM busybox:test\nCOPY . /all/\n"


class Relay:
    """A socket before the engine's, that counts what clients send."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self.sent = 0
        self._engine = engine
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(path))
        self._door.listen(64)
        self.engine = Engine(engine.kind, engine.root, path.parent, [], process=engine.process)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._door.accept()[0]
                thread = threading.Thread(target=self._serve, args=(client,))
                thread.start()
                self._threads.append(thread)

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._engine.socket)
            back = threading.Thread(target=self._pass, args=(server, client, False))
            back.start()
            self._pass(client, server, True)
            back.join()

    def _pass(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                self.sent += len(data) if up else 0
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)
        self._door.close()

    def build(self, client: str, context: Path, *words: str) -> int:
        """Bytes that one build sends."""
        before = self.sent
        if client == "buildx":
            buildx(self.engine, context, "build", *words, ".")
        else:
            self.engine.onggi("build", *words, str(context))
        return self.sent - before


@pytest.fixture
def relay(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    made = Relay(engine, tmp_path_factory.mktemp("r") / "engine.sock")
    yield made
    made.close()


def filled(context: Path) -> Path:
    for number in range(FILES):
        path = context / f"d{number // 50}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"%08d" % number + os.urandom(BYTES))
    (context / "Dockerfile").write_text(DOCKERFILE)
    return context


def tree(engine: Engine, image: str) -> str:
    """All of /all in an image: kinds, modes, times, sizes, contents."""
    script = (
        "cd /all && find . ! -name . -exec stat -c '%n %F %a %u %g %Y %s' {} + | sort; "
        "find . -type f -exec md5sum {} + | sort; find . -type l -exec readlink {} + | sort"
    )
    return engine.docker("run", "--rm", "--network", "none", image, "sh", "-c", script)


def change(context: Path) -> None:
    """One of each kind of change that a directory can see."""
    (context / "d0/f1").write_bytes(b"changed")
    (context / "d0/new").write_bytes(b"new")
    (context / "d1/f60").unlink()
    shutil.rmtree(context / "d2")
    (context / "d2").write_text("a file now")
    (context / "d3/f160").unlink()
    (context / "d3/f160").mkdir()
    (context / "d3/f160/below").write_text("a directory now")
    (context / "d4/f201").chmod(0o755)
    (context / "d4/link").symlink_to("../d4/f202")
    os.mkfifo(context / "d4/pipe")
    os.rename(context / "d5/f250", context / "d5/moved")


@pytest.mark.parametrize("client", ["onggi", "buildx"])
def test_what_changed_is_sent_and_nothing_else(relay: Relay, context: Path, client: str) -> None:
    filled(context)
    first = relay.build(client, context, "-t", f"{client}:1")
    assert first > FILES * BYTES
    assert relay.build(client, context, "-t", f"{client}:1") < 120_000, "names alone"
    with (context / "d2/f110").open("r+b") as file:
        file.write(b"another!")
    again = relay.build(client, context, "-t", f"{client}:2")
    assert again < 120_000 + BYTES
    change(context)
    assert relay.build(client, context, "-t", f"{client}:3") < 120_000 + 3 * BYTES
    relay.engine.docker("build", "-t", f"{client}:whole", str(context))
    assert tree(relay.engine, f"{client}:3") == tree(relay.engine, f"{client}:whole")


def test_a_write_that_hides_itself_is_seen(relay: Relay, context: Path) -> None:
    """The same size and the time set back: a change that fsutil's clients overlook."""
    filled(context)
    relay.build("onggi", context, "-t", "hidden:1")
    path = context / "d0/f3"
    facts = path.stat()
    path.write_bytes(bytes(facts.st_size))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    relay.build("onggi", context, "-t", "hidden:2")
    script = ("sh", "-c", "tr -d '\\000' < /all/d0/f3 | wc -c")
    assert relay.engine.docker("run", "--rm", "--network", "none", "hidden:2", *script).strip() == "0"


def test_touched_files_are_the_same_step(relay: Relay, context: Path) -> None:
    filled(context)
    relay.build("onggi", context, "-t", "touched:1")
    for path in context.rglob("f*"):
        path.touch()
    done = relay.engine.run("onggi", "build", "--progress", "plain", "-t", "touched:2", str(context))
    assert "CACHED" in done.stderr


def test_the_dockerfile_and_what_is_ignored_are_not_in_the_tree(relay: Relay, context: Path) -> None:
    filled(context)
    (context / ".dockerignore").write_text("Dockerfile\n.dockerignore\nd1\n!d1/f55\nd2/*\n")
    relay.build("onggi", context, "-t", "ignored:1")
    listed = relay.engine.docker("run", "--rm", "ignored:1", "sh", "-c", "cd /all; ls -A; ls d1 d2")
    assert listed.split() == ["d0", "d1", "d2", "d3", "d4", "d5", "d1:", "f55", "d2:"]
    (context / "d1/f55").unlink()
    relay.build("onggi", context, "-t", "ignored:2")
    listed = relay.engine.docker("run", "--rm", "ignored:2", "ls", "-A", "/all")
    assert listed.split() == ["d0", "d2", "d3", "d4", "d5"]


@pytest.mark.parametrize("names", [2, FILES], ids=["small", "large"])
def test_a_dockerfile_from_standard_input_is_in_no_tree(engine: Engine, context: Path, names: int) -> None:
    for number in range(names):
        (context / f"f{number}").write_bytes(bytes(BYTES))
    text = DOCKERFILE.encode()
    engine.onggi("build", "-t", "stdin:1", "-f", "-", str(context), stdin=text)
    listed = engine.docker("run", "--rm", "stdin:1", "ls", "-A", "/all").split()
    assert sorted(listed) == sorted(f"f{number}" for number in range(names))
    done = engine.run("onggi", "build", "--progress", "plain", "-f", "-", str(context), stdin=text)
    assert "CACHED" in done.stderr


def test_a_killed_engine_keeps_no_half_tree(context: Path, tmp_path: Path) -> None:
    with engines.onggi(tmp_path) as engine:
        engines.import_busybox(engine)
        filled(context)
        engine.onggi("build", "-t", "killed:1", str(context))
        engine.kill()
        (context / "d0/f1").write_text("changed")
        engine.start(failpoint="context.received=kill")
        assert engine.run("onggi", "build", "-t", "killed:2", str(context), check=False).returncode
        engine.kill()
        (context / "d0/f2").write_text("changed too")
        engine.start()
        engine.onggi("build", "-t", "killed:2", str(context))
        engine.docker("build", "-t", "killed:whole", str(context))
        assert tree(engine, "killed:2") == tree(engine, "killed:whole")


def _listing(*records: bytes) -> bytes:
    return b"".join(record + b"\0" for record in records)


@pytest.mark.parametrize(
    "listing",
    [
        b"not a record\0",
        _listing(b"f 644 0 - ../../../etc/passwd"),
        _listing(b"f 644 0 - a/../b"),
        _listing(b"f 644 0 - /etc/passwd"),
        _listing(b"f 644 0 - "),
        _listing(b"b 644 0 - device"),
        _listing(b"f 644 soon - a"),
    ],
)
def test_a_bad_listing_is_refused(engine: Engine, listing: bytes) -> None:
    path = f"/build/context?buildid={os.urandom(4).hex()}&name=hostile"
    status, text = engine.request("POST", path, listing)
    said = json.loads(text)["message"]
    assert status == 400 and ("not a record of a listing" in said or "outside of the root" in said)


def test_links_of_a_hostile_client_lead_nowhere(engine: Engine, tmp_path: Path) -> None:
    """A listing that says `a` is gone, where `a` is a link to a directory of the host's."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("here")
    first = _listing(b"l 777 0 1 a", b"f 644 0 1 a/file", b"d 755 0 - a/d")
    second = _listing(b"f 644 0 2 other")
    for number, listing in enumerate((first, second)):
        status, _ = engine.request("POST", f"/build/context?buildid=h{number}&name=links", listing)
        assert status == 200
        engine.request("POST", f"/build?buildid=h{number}&listed=1", _archive(victim))
    assert (victim / "file").read_text() == "here"


def _archive(victim: Path) -> bytes:
    import io
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        data = b"FROM scratch\nCOPY other /\n"
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("context/a")
        link.type, link.linkname = tarfile.SYMTYPE, str(victim)
        tar.addfile(link)
    return out.getvalue()
