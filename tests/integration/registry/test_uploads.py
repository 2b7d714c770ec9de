"""Blobs that are sent: cut off at any place, in pieces, refused as a whole, mounted; on a scripted registry
that keeps what came, and on a real one behind a line that breaks.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from onggi.errors import OnggiError
from onggi.registry import uploads
from onggi.registry.credentials import Credentials
from onggi.registry.endpoints import Settings
from onggi.registry.registries import Registries
from onggi.registry.repository import Repository
from onggi.spec import reference
from tests import registries
from tests.engines import until
from tests.registries import digest
from tests.scripted_registry import Handler, Scripted, scripted

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]
PIECE = 64 << 10


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PIECE_BYTES", PIECE)
    monkeypatch.setattr(uploads, "READ_BYTES", 4 << 10)


class Receiver:
    """The side of a registry that takes blobs: POST, PATCH, PUT, GET of an upload; cuts off where told."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.uploads: dict[str, bytearray] = {}
        self.cuts: list[int] = []  # after so many bytes of a body the connection is lost; used from the end
        self.keeps = True  # what came of a request that was cut off
        self.statuses: dict[str, list[int]] = {}  # method -> statuses that are answered first
        self.least = ""
        self.taken = 0  # bytes that were read at all
        self.methods: list[str] = []
        self.finds = ""  # another digest than the one that was sent

    def rule(self, handler: Handler) -> bool:
        url = urlsplit(handler.path)
        if "/blobs/uploads/" not in url.path:
            return False
        self.methods.append(handler.command)
        waiting = self.statuses.get(handler.command)
        if waiting:
            handler.body()
            handler.answer(waiting.pop(), b'{"errors":[{"code":"UNSUPPORTED"}]}')
            return True
        name = url.path.rpartition("/")[2]
        if handler.command == "POST":
            name = str(len(self.uploads))
            self.uploads[name] = bytearray()
            handler.answer(202, Location=f"{url.path}{name}?s=1", OCI_Chunk_Min_Length=self.least)
        elif name not in self.uploads:
            handler.body()
            handler.answer(404, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}')
        elif handler.command == "GET":
            handler.answer(204, Location=handler.path, Range=self.span(name))
        elif handler.command == "PATCH":
            self._patch(handler, name)
        elif handler.command == "PUT":
            self._put(handler, name, parse_qs(url.query)["digest"][0])
        return True

    def span(self, name: str) -> str:
        return f"0-{max(len(self.uploads[name]) - 1, 0)}"

    def _patch(self, handler: Handler, name: str) -> None:
        start = int(handler.headers["Content-Range"].partition("-")[0])
        if start != len(self.uploads[name]):
            handler.body()
            handler.answer(416, Range=self.span(name), Location=handler.path)
        elif self._read(handler, name):
            handler.answer(202, Location=handler.path, Range=self.span(name))

    def _put(self, handler: Handler, name: str, wanted: str) -> None:
        if not self._read(handler, name):
            return
        data = bytes(self.uploads.pop(name))
        if digest(data) != (self.finds or wanted):
            handler.answer(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"no match"}]}')
            return
        self.blobs[wanted] = data
        handler.answer(201)

    def _read(self, handler: Handler, name: str) -> bool:
        left = int(handler.headers["Content-Length"])
        cut = self.cuts.pop() if self.cuts and left else left + 1
        data = handler.rfile.read(min(left, cut))
        self.taken += len(data)
        if (cut > left and len(data) == left) or self.keeps:
            self.uploads[name] += data
        if cut > left and len(data) == left:
            return True
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.connection.shutdown(socket.SHUT_RDWR)
        return False


@pytest.fixture
def one() -> Iterator[tuple[Scripted, Receiver]]:
    receiver = Receiver()
    with scripted() as script:
        script.rules.append(receiver.rule)
        yield script, receiver


class Sender:
    """Our side, with the memory of one engine."""

    def __init__(self, host: str) -> None:
        self.everything = Registries(Settings(), user_agent="test", first_pause_s=0.001)
        self.host = host
        self.reports: list[int] = []

    def send(self, data: bytes, name: str = "a/b", cancel_at: int = 0) -> None:
        with self.everything.job(Credentials()) as job:
            named = reference.parse(f"{self.host}/{name}:1")
            found = digest(data)
            repository, there = job.first(named, lambda one: one.has_blob(found))
            assert not there

            def report(count: int) -> None:
                self.reports.append(count)
                if cancel_at and count >= cancel_at:
                    job.cancel()

            uploads.upload(repository, found, len(data), lambda: io.BytesIO(data), report)


SMALL, LARGE = os.urandom(3 * PIECE + 77), os.urandom(9 * PIECE + 77)


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_what_was_cut_off_goes_on(one: tuple[Scripted, Receiver], data: bytes, keeps: bool) -> None:
    script, receiver = one
    receiver.keeps, receiver.cuts = keeps, [PIECE // 2, 5, 0, PIECE - 1]
    Sender(script.host).send(data)
    assert receiver.blobs == {digest(data): data}
    if keeps:
        assert receiver.taken == len(data)  # nothing twice
    assert "PATCH" in receiver.methods and receiver.methods[-1] == "PUT"


def test_a_blob_is_one_request(one: tuple[Scripted, Receiver]) -> None:
    script, receiver = one
    Sender(script.host).send(LARGE)
    assert receiver.methods == ["POST", "PUT"] and receiver.blobs


def test_cut_at_every_place(one: tuple[Scripted, Receiver]) -> None:
    script, receiver = one
    sender = Sender(script.host)
    for cut in range(0, 6 * PIECE, PIECE // 3 + 1):
        data = os.urandom(6 * PIECE)
        receiver.cuts = [cut % PIECE]
        sender.send(data)
        assert receiver.blobs.pop(digest(data)) == data


@pytest.mark.parametrize("status", sorted(uploads.REFUSES_WHOLE))
def test_a_registry_that_refuses_blobs_as_a_whole_gets_pieces(
    one: tuple[Scripted, Receiver], status: int
) -> None:
    script, receiver = one
    receiver.statuses = {"PUT": [status]}
    Sender(script.host).send(SMALL)
    assert receiver.blobs == {digest(SMALL): SMALL}
    assert receiver.methods == ["POST", "PUT", "POST", *["PATCH"] * 4, "PUT"]


@pytest.mark.parametrize("status", sorted(uploads.REFUSES_PIECES))
def test_a_registry_that_refuses_pieces_gets_the_whole(one: tuple[Scripted, Receiver], status: int) -> None:
    script, receiver = one
    receiver.statuses, receiver.cuts = {"PATCH": [status]}, [PIECE]
    Sender(script.host).send(LARGE)
    assert receiver.blobs == {digest(LARGE): LARGE}
    assert receiver.methods == ["POST", "PUT", "GET", "PATCH", "POST", "PUT"]


def test_a_registry_that_refuses_both_is_told(one: tuple[Scripted, Receiver]) -> None:
    script, receiver = one
    receiver.statuses = {"PATCH": [405] * 9, "PUT": [413] * 9}
    for data in (SMALL, LARGE):
        with pytest.raises(OnggiError, match="unsupported"):
            Sender(script.host).send(data)
    assert len(receiver.methods) <= 8 and not receiver.blobs


def test_pieces_are_as_large_as_the_registry_wants_them(one: tuple[Scripted, Receiver]) -> None:
    script, receiver = one
    receiver.least, receiver.statuses = str(3 * PIECE), {"PUT": [413]}
    Sender(script.host).send(LARGE)
    assert receiver.methods.count("PATCH") == 4 and receiver.blobs


def test_the_registry_knows_better_where_it_is(one: tuple[Scripted, Receiver]) -> None:
    """416: our offset is not the registry's; it is asked for its own."""
    script, receiver = one

    def forgets(handler: Handler) -> bool:
        if handler.command == "PATCH" and receiver.methods.count("PATCH") == 3:
            for name in receiver.uploads:
                del receiver.uploads[name][PIECE + 10 :]
        return False

    script.rules.insert(0, forgets)
    receiver.statuses = {"PUT": [413]}
    Sender(script.host).send(LARGE)
    assert receiver.blobs == {digest(LARGE): LARGE} and "GET" in receiver.methods


def test_a_push_that_was_given_up_is_gone_on_with(one: tuple[Scripted, Receiver]) -> None:
    script, receiver = one
    sender = Sender(script.host)
    with pytest.raises(OnggiError, match="context canceled"):
        sender.send(LARGE, cancel_at=5 * PIECE)
    until(lambda: receiver.uploads["0"])
    assert sender.everything.unfinished and not receiver.blobs
    receiver.taken = 0
    sender.send(LARGE)
    assert receiver.blobs == {digest(LARGE): LARGE}
    assert receiver.taken < len(LARGE) and receiver.methods.count("POST") == 1
    assert not sender.everything.unfinished


def test_an_upload_that_the_registry_gave_up_begins_again(one: tuple[Scripted, Receiver]) -> None:
    script, receiver = one
    sender = Sender(script.host)
    with pytest.raises(OnggiError, match="context canceled"):
        sender.send(LARGE, cancel_at=5 * PIECE)
    until(lambda: receiver.uploads["0"])  # nothing of the first try comes later
    receiver.uploads.clear()
    sender.send(LARGE)
    assert receiver.blobs == {digest(LARGE): LARGE}


def test_a_digest_that_the_registry_does_not_find(one: tuple[Scripted, Receiver]) -> None:
    script, receiver = one
    sender = Sender(script.host)
    receiver.finds = digest(b"another")
    for data in (SMALL, LARGE):
        with pytest.raises(OnggiError, match="digest invalid: no match"):
            sender.send(data)
    assert not sender.everything.unfinished  # what is there is not gone on with
    receiver.finds = ""
    sender.send(LARGE)
    assert receiver.blobs == {digest(LARGE): LARGE}


def test_a_registry_that_lies_about_where_it_is(one: tuple[Scripted, Receiver]) -> None:
    """Too far, backwards, no number: never more than the tries, never a wrong blob that counts as sent."""
    script, receiver = one
    for span in ("0-99999999999999999999", "0-", "x", "bytes=0-5", "5-1", f"0-{10 * PIECE}"):
        receiver.cuts = [PIECE // 2]
        receiver.span = lambda name, span=span: span  # type: ignore[method-assign, misc]
        try:
            Sender(script.host).send(LARGE)
        except OnggiError:
            assert not receiver.blobs
        else:
            assert receiver.blobs.pop(digest(LARGE)) == LARGE


# ------------------------------------------------------------------------------------ a real registry


@contextlib.contextmanager
def breaking_line(port: int, budgets: list[int]) -> Iterator[int]:
    """A port that leads to another one; each connection is lost after its budget of bytes towards it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                with contextlib.suppress(OSError):
                    client, _ = server.accept()
                    budget = budgets.pop() if budgets else 1 << 40
                    threading.Thread(target=carry, args=(client, budget), daemon=True).start()

        def carry(client: socket.socket, budget: int) -> None:
            with client, socket.create_connection(("127.0.0.1", port)) as there:
                back = threading.Thread(target=copy, args=(there, client, 1 << 40), daemon=True)
                back.start()
                copy(client, there, budget)
                for sock in (client, there):
                    with contextlib.suppress(OSError):
                        sock.shutdown(socket.SHUT_RDWR)
                back.join()

        def copy(source: socket.socket, target: socket.socket, budget: int) -> None:
            with contextlib.suppress(OSError):
                while budget > 0 and (data := source.recv(min(16384, budget))):
                    target.sendall(data)
                    budget -= len(data)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            ended.set()
            thread.join()


@pytest.mark.parametrize("size", [3 * PIECE + 1, 40 * PIECE])
def test_a_real_registry_behind_a_line_that_breaks(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    with registries.registry(tmp_path) as real, breaking_line(real.port, [900, size // 2, 2 * PIECE]) as port:
        sender = Sender(f"127.0.0.1:{port}")
        sender.send(data)
        assert real.request("GET", f"/v2/a/b/blobs/{digest(data)}")[2] == data


def test_a_real_registry_after_a_cancelled_push(tmp_path: Path) -> None:
    """It keeps nothing of a request that was cut off, and says so: the next push begins again."""
    data = os.urandom(20 * PIECE)
    with registries.registry(tmp_path) as real:
        sender = Sender(real.host)
        with pytest.raises(OnggiError, match="context canceled"):
            sender.send(data, cancel_at=15 * PIECE)
        sender.send(data)
        assert real.request("GET", f"/v2/a/b/blobs/{digest(data)}")[2] == data


def test_mounting_from_a_neighbour(tmp_path: Path) -> None:
    data = os.urandom(5000)
    with registries.registry(tmp_path) as real:
        sender = Sender(real.host)
        sender.send(data, "near/one")
        with sender.everything.job(Credentials()) as job:
            (named,) = (reference.parse(f"{real.host}/near/two:1"),)
            found: list[Repository] = [job.first(named, lambda one: one.has_blob(digest(data)))[0]]
            assert uploads.mount(found[0], digest(data), "near/one")
            assert found[0].has_blob(digest(data))
            assert not uploads.mount(found[0], digest(b"nowhere"), "near/one")  # and the upload is given up
            assert not uploads.mount(found[0], digest(data[1:]), "no/such")
        left = list(tmp_path.rglob("near/two/_uploads/*/startedat"))  # it forgets the rest itself
        assert left == []
