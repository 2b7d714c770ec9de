"""The resolver process: sockets of every sandbox, the tables, and the engine's connection.

It ends when no sandbox is left and no engine is connected. A sandbox whose init has ended is let go at once,
also while there is no engine: its sockets are what holds the network namespace then.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any, Protocol

import msgspec
from dnslib import RCODE

from onggi.network.companion_process import CompanionProcess, serve
from onggi.network.resolver import answers, forward
from onggi.network.resolver.zones import Member, View, Zones

IN_FLIGHT = 256  # questions of one sandbox that wait for other servers; more are refused
CONNECTIONS = 32  # of one sandbox by TCP
IDLE_SECONDS = 10.0


class Knows(Protocol):
    """Who has what a sandbox is answered from."""

    zones: Zones
    host: forward.HostServers


class Sandbox(asyncio.DatagramProtocol):
    """The two sockets of one container."""

    def __init__(self, resolver: Knows, container: str) -> None:
        self._resolver = resolver
        self._container = container
        self._transport: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0
        self.pidfd = -1

    async def open(self, udp: socket.socket, tcp: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=udp)
        self._server = await asyncio.start_server(self._connected, sock=tcp)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        if self.pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self.pidfd)
            os.close(self.pidfd)
            self.pidfd = -1

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        found = self._known(data, udp=True)
        if found is not None:
            self._send(found, address)
        elif len(self._tasks) >= IN_FLIGHT:
            self._send(answers.refusal(data, RCODE.SERVFAIL), address)
        else:
            task = asyncio.get_running_loop().create_task(self._forward(data, address))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _send(self, data: bytes, address: tuple[str, int]) -> None:
        if data and self._transport is not None:
            self._transport.sendto(data, address)

    def _known(self, data: bytes, *, udp: bool) -> bytes | None:
        view = self._resolver.zones.views.get(self._container)
        if view is None:
            return answers.refusal(data, RCODE.SERVFAIL)
        found = answers.answer(self._resolver.zones, view, data, udp=udp)
        if found is None and not view.forward:
            return answers.refusal(data, RCODE.SERVFAIL)
        return found

    async def _forward(self, data: bytes, address: tuple[str, int]) -> None:
        self._send(await self._elsewhere(data, udp=True), address)

    async def _elsewhere(self, data: bytes, *, udp: bool) -> bytes:
        view = self._resolver.zones.views.get(self._container)
        servers = (view.servers if view else ()) or self._resolver.host.current()
        return await forward.ask(servers, data, udp=udp) or answers.refusal(data, RCODE.SERVFAIL)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            while self._connections <= CONNECTIONS:
                async with asyncio.timeout(IDLE_SECONDS):
                    data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                    found = self._known(data, udp=False)
                    if found is None:
                        found = await self._elsewhere(data, udp=False)
                    if not found:
                        return
                    writer.write(len(found).to_bytes(2, "big") + found)
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return
        finally:
            self._connections -= 1
            writer.close()


class Resolver(CompanionProcess):
    """Everything that the process has."""

    packet_bytes = 1 << 17
    descriptors = 2

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener)
        self.zones = Zones()
        self.host = forward.HostServers()
        self._sandboxes: dict[str, Sandbox] = {}
        self._told: tuple[set[str], set[tuple[str, str]]] | None = None

    def idle(self) -> bool:
        return not self._sandboxes

    async def _on_begin(self, message: dict[str, Any], fds: list[int]) -> None:
        self._told = (set(), set())

    async def _on_end(self, message: dict[str, Any], fds: list[int]) -> None:
        """The engine has told everything: what it did not mention is gone. Answers whose sockets are here."""
        if self._told is not None:
            for container in set(self._sandboxes) - self._told[0]:
                self._sandboxes.pop(container).close()
            self.zones.keep_only(*self._told)
            self._told = None
        self._say(list(self._sandboxes))

    async def _on_sandbox(self, message: dict[str, Any], fds: list[int]) -> None:
        view = msgspec.convert(message["view"], View)
        self.zones.views[view.container] = view
        if self._told is not None:
            self._told[0].add(view.container)
        if fds:
            former = self._sandboxes.pop(view.container, None)
            if former is not None:
                former.close()
            udp, tcp = (socket.socket(fileno=fd) for fd in fds)
            udp.setblocking(False)
            self._sandboxes[view.container] = Sandbox(self, view.container)
            await self._sandboxes[view.container].open(udp, tcp)

    async def _on_join(self, message: dict[str, Any], fds: list[int]) -> None:
        member = msgspec.convert(message["member"], Member)
        self.zones.join(member)
        if self._told is not None:
            self._told[1].add((member.network, member.container))

    async def _on_leave(self, message: dict[str, Any], fds: list[int]) -> None:
        self.zones.leave(message["network"], message["container"])

    async def _on_watch(self, message: dict[str, Any], fds: list[int]) -> None:
        """Let go of the sandbox when this process ends."""
        sandbox = self._sandboxes.get(message["container"])
        if sandbox is None or sandbox.pidfd >= 0:
            return
        try:
            sandbox.pidfd = os.pidfd_open(message["pid"])
        except ProcessLookupError:
            self._gone(message["container"])
            return
        asyncio.get_running_loop().add_reader(sandbox.pidfd, self._gone, message["container"])

    async def _on_gone(self, message: dict[str, Any], fds: list[int]) -> None:
        self._gone(message["container"])

    def _gone(self, container: str) -> None:
        sandbox = self._sandboxes.pop(container, None)
        if sandbox is not None:
            sandbox.close()
        self.zones.forget(container)
        self._end_if_idle()


def main(listener_fd: int) -> None:
    """Run until nobody needs names any more."""
    serve(listener_fd, Resolver)
