"""The loop of shims: an event is for whoever it came for; and in which order a shim goes."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from onggi.spawn.loop import IN, Loop
from onggi.spawn.messages import Channel
from onggi.spawn.shim import Shim


def test_an_event_is_not_for_whoever_gets_the_descriptors_number_next() -> None:
    loop = Loop()
    first, far_first = socket.socketpair()
    old, far_old = socket.socketpair()
    fresh, far_fresh = socket.socketpair()
    number = old.fileno()
    heard: list[tuple[str, int]] = []

    def replace(events: int) -> None:
        heard.append(("first", events))
        loop.forget(first.fileno())
        loop.forget(number)
        os.dup2(fresh.fileno(), number)  # as a client's connection gets the number of one that was closed
        loop.watch(number, IN, lambda events: heard.append(("fresh", events)))
        loop.call_later(0, loop.stop)

    loop.watch(first.fileno(), IN, replace)
    loop.watch(number, IN, lambda events: heard.append(("old", events)))
    far_first.send(b"x")
    far_old.close()  # both are due in one turn
    loop.run()
    assert heard == [("first", IN)]

    far_fresh.send(b"y")
    loop.call_later(0.05, loop.stop)
    loop.run()
    assert heard[1] == ("fresh", IN)
    loop.close()
    for sock in (first, far_first, old, fresh, far_fresh):
        sock.close()


def test_a_shim_that_is_to_quit_has_left_its_directory_when_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = socket.socketpair()
    directory = tmp_path / "shim"
    directory.mkdir()
    there: list[bool] = []
    send = Channel.send

    def note(self: Channel, *message: object) -> None:
        there.append(directory.exists())
        send(self, *message)  # type: ignore[arg-type]

    shim = Shim("c", str(directory), str(tmp_path), theirs)
    peer = Channel(ours)
    peer.send(1, "quit", {})
    monkeypatch.setattr(Channel, "send", note)
    shim.run()
    shim.close()
    assert there == [False]
    assert peer.receive() == [(-1, "", {}, [])]
    peer.close()
