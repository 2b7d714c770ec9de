"""Questions that are not ours go on to the host's name servers, byte for byte, and answers come back."""

from __future__ import annotations

import asyncio
import os

SECONDS = 2.0  # for one server
RESOLV_CONF = "/etc/resolv.conf"
PORT = 53


class HostServers:
    """The `nameserver` lines of the host, read again when the file changes."""

    def __init__(self, path: str = RESOLV_CONF) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._servers: tuple[str, ...] = ()

    def current(self) -> tuple[str, ...]:
        try:
            found = os.stat(self._path)
        except OSError:
            return self._servers
        seen = (found.st_mtime_ns, found.st_ino)
        if seen != self._seen:
            with open(self._path, encoding="utf-8", errors="replace") as file:
                words = [line.split() for line in file]
            self._servers = tuple(w[1] for w in words if len(w) > 1 and w[0] == "nameserver")
            self._seen = seen
        return self._servers


class _Asked(asyncio.DatagramProtocol):
    """One question on a socket of its own: the port is random, and the number must match (RFC 5452)."""

    def __init__(self, number: bytes) -> None:
        self._number = number
        self.answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, address: object) -> None:
        if data[:2] == self._number and not self.answered.done():
            self.answered.set_result(data)

    def error_received(self, error: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(error)


async def ask(servers: tuple[str, ...], packet: bytes, *, udp: bool) -> bytes | None:
    """The first answer of the servers in turn; None when none answers."""
    for server in servers:
        try:
            async with asyncio.timeout(SECONDS):
                return await (_udp(server, packet) if udp else _tcp(server, packet))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            continue
    return None


async def _udp(server: str, packet: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    transport, asked = await loop.create_datagram_endpoint(
        lambda: _Asked(packet[:2]), remote_addr=(server, PORT)
    )
    try:
        transport.sendto(packet)
        return await asked.answered
    finally:
        transport.close()


async def _tcp(server: str, packet: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(server, PORT)
    try:
        writer.write(len(packet).to_bytes(2, "big") + packet)
        size = int.from_bytes(await reader.readexactly(2), "big")
        return await reader.readexactly(size)
    finally:
        writer.close()
