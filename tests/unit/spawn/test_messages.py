"""Frames: descriptors arrive with their message, nonsense ends the connection; and detach keys."""

from __future__ import annotations

import gc
import marshal
import os
import socket

import pytest

from onggi.spawn.detach import DetachKeys
from onggi.spawn.messages import MAX_FRAME_BYTES, Channel, Closed, ProtocolError, trusted


def test_messages_and_descriptors_arrive_in_order() -> None:
    left, right = socket.socketpair()
    sender, receiver = Channel(left), Channel(right)
    reader, writer = os.pipe()
    sender.send(1, "a", {"x": b"1" * 100_000})
    sender.send(2, "b", None, (writer,))
    sender.send(3, "c", [])
    os.close(writer)
    got = []
    while len(got) < 3:
        sender.flush()
        got += receiver.receive()
    assert [(number, word) for number, word, _, _ in got] == [(1, "a"), (2, "b"), (3, "c")]
    assert [len(fds) for *_, fds in got] == [0, 1, 0]
    os.write(got[1][3][0], b"through")
    assert os.read(reader, 100) == b"through"
    os.close(got[1][3][0])
    os.close(reader)
    sender.close()
    with pytest.raises(Closed):
        receiver.receive()
    receiver.close()


@pytest.mark.parametrize(
    "nonsense",
    [b"\0\0\0\1x", (MAX_FRAME_BYTES + 1).to_bytes(4, "big"), b"\0\0\0\5\xe9\1\0\0\0", b"\0\0\0\0"],
)
def test_nonsense_is_refused(nonsense: bytes) -> None:
    left, right = socket.socketpair()
    left.send(nonsense)
    receiver = Channel(right)
    assert trusted(right)
    with pytest.raises(ProtocolError):
        receiver.receive()
    receiver.close()
    left.close()


@pytest.mark.parametrize("nonsense", [b"\0\0\0\1x", (MAX_FRAME_BYTES + 1).to_bytes(4, "big")])
def test_nonsense_behind_a_message_leaves_its_descriptors_closed(nonsense: bytes) -> None:
    gc.collect()  # what an earlier test has left does not go in between
    before = os.listdir("/proc/self/fd")
    left, right = socket.socketpair()
    receiver = Channel(right)
    frame = marshal.dumps((1, "a", None, 2))
    socket.send_fds(left, [len(frame).to_bytes(4, "big") + frame + nonsense], [0, 0])
    with left, pytest.raises(ProtocolError):
        receiver.receive()
    receiver.close()
    assert os.listdir("/proc/self/fd") == before


def test_detach_keys_hold_back_and_let_go() -> None:
    keys = DetachKeys(b"\x10\x11")
    assert keys.feed(b"ab\x10") == (b"ab", False)
    assert keys.feed(b"c") == (b"\x10c", False)
    assert keys.feed(b"\x10\x10") == (b"\x10", False)
    assert keys.feed(b"\x11rest") == (b"", True)
    assert DetachKeys(b"").feed(b"\x10\x11") == (b"\x10\x11", False)
    assert DetachKeys(b"aab").feed(b"aaab") == (b"a", True)
