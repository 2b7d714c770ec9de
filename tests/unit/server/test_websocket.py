"""The relay between a WebSocket's frames and a shim's bytes."""

from __future__ import annotations

import asyncio
import socket

from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong

from onggi.server.websocket import _Relay

SIZE = 4 << 20


async def test_a_ping_amid_output_that_waits_for_its_client_breaks_no_frame() -> None:
    loop = asyncio.get_running_loop()
    client, relays_client = socket.socketpair()
    shim, relays_shim = socket.socketpair()
    for sock in (client, relays_client, shim, relays_shim):
        sock.setblocking(False)
    relay = asyncio.create_task(_Relay(relays_client, relays_shim, binary=True).run(b""))

    async def say() -> None:
        await loop.sock_sendall(shim, bytes(SIZE))
        shim.close()

    output = asyncio.create_task(say())
    done, _ = await asyncio.wait([output], timeout=0.2)
    assert not done  # the client does not read: the relay waits for room
    frames = Connection(ConnectionType.CLIENT)
    await loop.sock_sendall(client, frames.send(Ping(b"there?")))
    await asyncio.sleep(0.05)  # the relay has read it
    received, ponged, closed = 0, False, False
    async with asyncio.timeout(10):
        while not closed:
            data = await loop.sock_recv(client, 1 << 16)
            assert data
            frames.receive_data(data)
            for event in frames.events():
                if isinstance(event, BytesMessage):
                    received += len(event.data)
                elif isinstance(event, Pong):
                    ponged = event.payload == b"there?"
                elif isinstance(event, CloseConnection):
                    closed = True
        await output
        await relay
    assert (received, ponged) == (SIZE, True)
    client.close()
