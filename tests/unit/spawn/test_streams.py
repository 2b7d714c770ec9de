"""A terminal's streams on a real pty: raw output, input, size, detach keys, and its end."""

from __future__ import annotations

import gc
import os
import pty
import select
import socket
import time

from onggi.kernel import terminals
from onggi.spawn import pipes
from onggi.spawn.attach import Client
from onggi.spawn.loop import Loop
from onggi.spawn.streams import Streams

OPTIONS = {
    "framed": False, "stdin": True, "stdout": True, "stderr": True, "detach_keys": b"\x10\x11", "early": b"",
}  # fmt: skip


def turn(loop: Loop, seconds: float = 0.05) -> None:
    loop.call_later(seconds, loop.stop)
    loop.run()


def until(loop: Loop, fd: int) -> None:
    """Turn until there is something to read: the kernel carries a terminal's bytes behind the write."""
    deadline = time.monotonic() + 30
    while not select.select([fd], [], [], 0)[0]:
        assert time.monotonic() < deadline
        turn(loop, 0.01)


def test_a_terminal() -> None:
    loop, ends, ended = Loop(), [], []
    streams = Streams(loop, on_client_end=lambda _, why: ends.append(why), on_end=lambda: ended.append(1))
    streams.expect(terminal=True, stdin_once=True, capture=0)
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    mine, theirs = socket.socketpair()
    mine.settimeout(5)
    streams.attach(Client(loop, theirs.detach(), 1, OPTIONS, streams))
    streams.running({"console": master, "stdin": master})
    assert streams.resize(33, 77) and terminals.window_size(slave) == (33, 77)

    mine.send(b"hello\n")
    until(loop, slave)
    assert os.read(slave, 100) == b"hello\n"
    echo = b""
    while len(echo) < 7:
        until(loop, mine.fileno())
        echo += mine.recv(100)
    assert echo == b"hello\r\n"
    mine.send(b"\x10")
    turn(loop)
    mine.send(b"\x11")
    until(loop, mine.fileno())
    assert ends == ["detached"] and mine.recv(100) == b""
    mine.close()

    os.close(slave)  # nobody has it open: that is no reason to spin
    spent = time.process_time()
    turn(loop, 0.3)
    assert time.process_time() - spent < 0.1
    assert not ended
    streams.process_ended()
    assert ended == [1] and not streams.resize(1, 1)


def test_no_descriptor_is_left() -> None:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for stdin, output, terminal in ((True, True, False), (False, False, False), (False, True, True)):
        loop = Loop()
        streams = Streams(loop, on_client_end=lambda _, why: None, on_end=lambda: None)
        streams.expect(terminal=terminal, stdin_once=True, capture=0)
        process_fds, ends = pipes.make(terminal=terminal, stdin=stdin, output=output)
        for fd in set(process_fds):
            os.close(fd)
        streams.running(ends)
        streams.process_ended()
        del loop, streams
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
