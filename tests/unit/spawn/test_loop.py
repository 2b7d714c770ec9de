"""The shim's loop: events belong to the descriptor that they came for."""

from __future__ import annotations

import os
import socket

from onggi.spawn.loop import IN, Loop


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
