"""Targets of what two processes say to each other on a socket: shims' messages, and WebSocket frames."""

from __future__ import annotations

import asyncio
import marshal
import os
import socket
from functools import cache

from onggi.server import websocket
from onggi.spawn.messages import Channel, Closed, ProtocolError
from tests.fuzz.feed import Feed


def messages(data: bytes) -> None:
    """Frames that reach a daemon or a shim: of any shape, cut anywhere, with descriptors.

    Their inside is marshal's, which is for trusted peers (spawn/messages.py), and so is not fuzzed itself.
    """
    feed = Feed(data)
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    try:
        stream = b"".join(_frame(feed) for _ in range(1 + feed.byte() % 6))
        while stream:
            cut = 1 + feed.below(len(stream) if len(stream) < 256 else 60_000)
            piece, stream = stream[:cut], stream[cut:]
            socket.send_fds(theirs, [piece], [_null()] * (feed.byte() % 4))
            _take(channel)
        theirs.close()
        while True:
            _take(channel)
    except (Closed, ProtocolError) as error:
        assert str(error)
    finally:
        channel.close()
        theirs.close()


def _take(channel: Channel) -> None:
    for _, _, _, fds in channel.receive():
        for fd in fds:
            os.close(fd)


def _frame(feed: Feed) -> bytes:
    kind = feed.byte() % 8
    if kind == 0:
        body = b"?" + feed.text().encode("utf-8", "replace")  # no type that marshal knows
    elif kind == 1:
        body = marshal.dumps(feed.value())
    else:
        body = marshal.dumps((feed.byte() - 8, feed.text(), feed.value(), feed.byte() % 4))
    wrong = feed.one((0, 1, -1, 1 << 24, 1 << 31)) if feed.byte() % 8 == 0 else 0
    return max(0, len(body) + wrong).to_bytes(4, "big") + body


@cache
def _null() -> int:
    return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def sockets(data: bytes) -> None:
    """Frames of a client that attaches by WebSocket; each side may end first."""
    _loop().run_until_complete(asyncio.wait_for(_relayed(data), 20))


async def _relayed(data: bytes) -> None:
    client, far_client = socket.socketpair()
    shim, far_shim = socket.socketpair()
    for sock in (client, far_client, shim, far_shim):
        sock.setblocking(False)
    feed = Feed(data)
    relay = websocket._Relay(client, shim, binary=bool(feed.byte() % 2))
    early = feed.bytes(feed.byte() % 64)
    task = asyncio.create_task(relay.run(early))
    with far_client, far_shim:
        while not feed.empty and not task.done():
            try:
                if feed.byte() % 4 == 0:
                    far_shim.send(feed.bytes(feed.byte()))
                else:
                    far_client.send(feed.bytes(feed.byte()))
                await asyncio.sleep(0)
                far_shim.recv(1 << 16)
                far_client.recv(1 << 16)
            except (BlockingIOError, ConnectionError):
                continue
    await task
    assert client.fileno() == shim.fileno() == -1
