"""The outside process: it stays in the host's network namespace for an engine whose own is another.

It makes sockets of the host for the engine, asks the host's loopback name servers, and sees that pasta or
slirp4netns lives. It ends, and they with it, when nobody lives in the engine's namespace any more.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

from onggi.kernel.netlink import Route
from onggi.network.companion_process import CompanionProcess, serve
from onggi.network.reservations import Here
from onggi.network.resolver.forward import HostServers
from onggi.network.resolver.process import Sandbox
from onggi.network.resolver.zones import View, Zones
from onggi.network.rootless.members import Members, place
from onggi.network.rootless.outside import Situation
from onggi.network.rootless.uplink import Uplink


class Outside(CompanionProcess):
    """Everything that the process has."""

    packet_bytes = 1 << 17
    descriptors = 2

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener)
        self._path = listener.getsockname()
        self._members = Members(self._left)
        self._uplink: Uplink | None = None
        self.zones = Zones()  # none but views of one server each
        self.host = HostServers()
        self._stubs: dict[str, Sandbox] = {}

    def idle(self) -> bool:
        return self._members.where is None

    def _left(self) -> None:
        """Nobody lives there any more. The socket goes while it is ours: who comes next makes another."""
        self._members.where = None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self._ended.set()

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            if self._uplink is not None:
                await self._uplink.close()

    async def _on_hold(self, message: dict[str, Any], fds: list[int]) -> None:
        """The namespaces of a process are to be served; False where they are not those that we serve, or it
        has ended.
        """
        pid = message["pid"]
        try:
            if self._members.where not in (None, place(pid)):
                self._say(False)
                return
            self._members.watch(pid)
        except OSError:
            self._say(False)
            return
        if self._uplink is None:
            self._uplink = Uplink(message["driver"], self._members.somebody, f"{self._path}.uplink")
        await self._uplink.settled()
        self._say(self._situation())

    async def _on_end(self, message: dict[str, Any], fds: list[int]) -> None:
        """The engine has other namespaces now."""
        self._ended.set()

    async def _on_situation(self, message: dict[str, Any], fds: list[int]) -> None:
        self._say(self._situation())

    def _situation(self) -> Situation:
        assert self._uplink is not None  # nobody asks before `hold`
        return Situation(
            pid=os.getpid(),
            uplink=self._uplink.state,
            first_port=Here().first_port(),
            stubs=tuple(self._stubs),
        )

    async def _on_routes(self, message: dict[str, Any], fds: list[int]) -> None:
        with Route() as route:
            self._say([(address, prefix) for _, address, prefix in route.addresses()] + route.destinations())

    async def _on_socket(self, message: dict[str, Any], fds: list[int]) -> None:
        """A socket of the host's, for the engine to bind: rights are looked at where the socket is."""
        try:
            made = Here().open_socket(message["family"], message["kind"], message["protocol"])
        except OSError as error:
            self._say(error.errno)
            return
        with made:
            self._say(0, (made.fileno(),))

    async def _on_stub(self, message: dict[str, Any], fds: list[int]) -> None:
        """Questions to these sockets are for the host's name server of that address."""
        address = message["address"]
        former = self._stubs.pop(address, None)
        if former is not None:
            former.close()
        if fds:
            udp, tcp = (socket.socket(fileno=fd) for fd in fds)
            udp.setblocking(False)
            self.zones.views[address] = View(
                container=address, networks=(), links=(), servers=(address,), forward=True
            )
            self._stubs[address] = Sandbox(self, address)
            await self._stubs[address].open(udp, tcp)


def main(listener_fd: int) -> None:
    """Run until nobody lives in the namespace."""
    serve(listener_fd, Outside)
