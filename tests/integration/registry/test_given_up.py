"""A job that nobody waits for any more leaves a registry at once, in whatever it is waiting for."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from onggi.registry.connections import Cancelled
from onggi.registry.credentials import Credentials
from onggi.registry.endpoints import Settings
from onggi.registry.registries import Registries
from onggi.spec import reference

PROMPT_S = 5.0  # every wait of the job's own is longer


def test_in_the_midst_of_a_tls_handshake() -> None:
    """The server takes the client's greeting, and says nothing."""
    heard, left = threading.Event(), threading.Event()
    ends: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        named = reference.parse(f"127.0.0.1:{server.getsockname()[1]}/a/b:1")

        def serve() -> None:
            sock, _ = server.accept()
            with sock:
                sock.recv(1)
                heard.set()
                left.wait(60)

        def ask() -> None:
            try:
                job.first(named, lambda one: one.head("1"))
            except BaseException as error:
                ends.append(error)

        everything = Registries(Settings(), user_agent="test", first_pause_s=0.001)
        with everything.job(Credentials()) as job:
            threads = [threading.Thread(target=serve), threading.Thread(target=ask)]
            for one in threads:
                one.start()
            assert heard.wait(30)
            job.cancel()
            threads[1].join(PROMPT_S)
            prompt = not threads[1].is_alive()
            left.set()
            for one in threads:
                one.join()
    assert prompt
    assert [type(error) for error in ends] == [Cancelled]


def test_before_the_answer_to_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given up while it was being made: it is not used."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        named = reference.parse(f"127.0.0.1:{server.getsockname()[1]}/a/b:1")
        everything = Registries(Settings(), user_agent="test", first_pause_s=0.001)
        with everything.job(Credentials()) as job:
            judged = job.connections.judged

            def late(*args: object) -> socket.socket:
                job.cancel()
                return judged(*args)  # type: ignore[arg-type]

            monkeypatch.setattr(job.connections, "judged", late)
            began = time.monotonic()
            with pytest.raises(Cancelled):
                job.first(named, lambda one: one.head("1"))
            assert time.monotonic() - began < PROMPT_S
