"""The relay process: sockets of published ports, and the engine's connection.

It runs as nobody, or without any capability: the engine binds the sockets. It ends when it serves nothing and
no engine is connected.
A port that is closed keeps its connections; they end with the container, as those that the kernel leads. It
is closed with its container also while there is no engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import socket
from typing import Any

import msgspec

from onggi.kernel import capabilities, processes
from onggi.network.companion_process import CompanionProcess, serve
from onggi.network.relay import datagrams, streams
from onggi.network.relay.client import Served

NOBODY = 65534
_OWN_DESCRIPTORS = 512  # listeners, UDP clients' share, pipes, our own


class Relays(CompanionProcess):
    """Everything that the process has."""

    packet_bytes = 1 << 20
    descriptors = 1

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener)
        self._served: dict[str, tuple[Served, socket.socket, asyncio.Task[None] | datagrams.Datagrams]] = {}
        self._room = streams.Room(_connections())
        self._watched: dict[str, int] = {}  # key -> pidfd of the container's init

    def idle(self) -> bool:
        return not self._served

    async def _on_serve(self, message: dict[str, Any], fds: list[int]) -> None:
        served = msgspec.convert(message["served"], Served)
        listener = socket.socket(fileno=fds[0])
        self._stop(served.key)
        if served.protocol == "udp":
            self._served[served.key] = (
                served,
                listener,
                datagrams.Datagrams(listener, served.address, served.port),
            )
            return
        work = streams.serve(listener, served.address, served.port, self._room)
        self._served[served.key] = (served, listener, asyncio.get_running_loop().create_task(work))

    async def _on_stop(self, message: dict[str, Any], fds: list[int]) -> None:
        for key in message["keys"]:
            self._stop(key)
        self._say(True)

    async def _on_watch(self, message: dict[str, Any], fds: list[int]) -> None:
        for key in message["keys"]:
            if key in self._served and key not in self._watched:
                try:
                    pidfd = os.pidfd_open(message["pid"])
                except ProcessLookupError:
                    self._stop(key)
                    continue
                self._watched[key] = pidfd
                asyncio.get_running_loop().add_reader(pidfd, self._container_ended, key)

    def _container_ended(self, key: str) -> None:
        self._stop(key)
        self._end_if_idle()

    def _stop(self, key: str) -> None:
        pidfd = self._watched.pop(key, -1)
        if pidfd >= 0:
            asyncio.get_running_loop().remove_reader(pidfd)
            os.close(pidfd)
        _, listener, work = self._served.pop(key, (None, None, None))
        if isinstance(work, datagrams.Datagrams):
            work.close()
        elif work is not None and listener is not None:
            work.cancel()
            asyncio.get_running_loop().remove_reader(listener.fileno())
            listener.close()

    async def _on_list(self, message: dict[str, Any], fds: list[int]) -> None:
        self._say([served for served, _, _ in self._served.values()])

    async def _on_hand(self, message: dict[str, Any], fds: list[int]) -> None:
        found = self._served.get(message["key"])
        self._say(found is not None, (found[1].fileno(),) if found is not None else ())


def _connections() -> int:
    """As many as descriptors allow, two each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(64, (min(soft, 1 << 20) - _OWN_DESCRIPTORS) // 2)


def _become_nobody() -> None:
    """Where the engine's user namespace has no such id (of a user without subordinate ids), powerless."""
    if os.geteuid() != 0:
        return
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPERM):
            raise
        capabilities.drop_bounding(0)
        capabilities.set_(0, 0, 0)
        processes.set_no_new_privs()


def main(listener_fd: int) -> None:
    """Run until nobody needs a relay any more."""
    _become_nobody()
    serve(listener_fd, Relays)
