"""A client's session inside a call, Control.Session: each message is a piece of the connection's bytes.

POST /session      a connection of its own (server/api/buildkit.py)
Control.Session    the same over /grpc: what buildctl and `buildx dial-stdio` use, and bake for what its
                   targets share
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from grpclib.exceptions import GRPCError, StreamTerminatedError

from onggi.builder.buildkit.connection import Called
from onggi.builder.buildkit.messages import kind
from onggi.builder.buildkit.sessions import Session, Sessions

PIECE_BYTES = 64 << 10
ID = "x-docker-expose-session-uuid"
SHARED_KEY = "x-docker-expose-session-sharedkey"


async def hold(sessions: Sessions, stream: Any, work: Callable[..., Awaitable[Any]]) -> None:
    """Offer the session until the call ends. Raises InvalidParameter."""
    ours, theirs = socket.socketpair()
    channel = Called(ours, b"")
    metadata = stream.metadata
    session = Session(str(metadata.get(ID, "")), str(metadata.get(SHARED_KEY, "")), channel, work)
    reader, writer = await asyncio.open_connection(sock=theirs)
    await stream.send_initial_metadata()
    pumps = [asyncio.create_task(_out(reader, stream)), asyncio.create_task(_in(stream, writer))]
    try:
        await sessions.hold(session, channel)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        writer.close()


async def _out(reader: asyncio.StreamReader, stream: Any) -> None:
    while data := await reader.read(PIECE_BYTES):
        await stream.send_message(kind("Bytes")(data=data))


async def _in(stream: Any, writer: asyncio.StreamWriter) -> None:
    """Its end is the end of the session's connection."""
    try:
        while (message := await stream.recv_message()) is not None:
            writer.write(message.data)
            await writer.drain()
    except (GRPCError, StreamTerminatedError, OSError):
        return
    finally:
        writer.close()
