"""The two clients of the outside process: who starts it and sees that it lives, and the engine within.

Blocking, and without asyncio: the starter waits for the engine, and is small.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time

import msgspec

from onggi.errors import System
from onggi.network.companion import Companion
from onggi.network.rootless.programs import PACKAGES, Way

NONE = "none"
_ATTEMPTS = 5
_MODULE = "onggi.network.rootless.process"
_WAIT_SECONDS = 6.0  # for a process that was killed to be started again
_LOOK_SECONDS = 0.1


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The uplink: `driver` runs, or is "none"; `starts` counts, so that one that was mended is seen."""

    driver: str = NONE
    pid: int = 0
    starts: int = 0
    way: Way | None = None
    error: str = ""


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What the process tells of itself.

    `first_port` is the host's net.ipv4.ip_unprivileged_port_start; `stubs` are the name servers of the host's
    loopback that are asked for the engine.
    """

    pid: int
    uplink: State
    first_port: int
    stubs: tuple[str, ...] = ()


class Starter(Companion):
    """For the process that stays outside as long as the engine runs. `driver` is empty for what is there."""

    module = _MODULE

    def __init__(self, path: str, driver: str = "") -> None:
        super().__init__(path)
        # Another word is for the engine to refuse: it reads its settings with more care.
        self._driver = driver if driver in ("", *PACKAGES) else NONE
        self._pid = 0
        self._pidfd = -1
        self._last = Situation(pid=0, uplink=State(), first_port=0)

    def ensure(self, pid: int) -> Situation:
        """See that the namespaces of a process are served, by the process that is there or by a new one.

        Nothing but a look where all is well, so it can be called often. Raises System, OSError.
        """
        if self._pid == pid and self._pidfd >= 0 and not _ended(self._pidfd):
            return self._last
        for _ in range(_ATTEMPTS):
            self.start()
            answer, _ = self._ask({"op": "hold", "pid": pid, "driver": self._driver})
            if answer is False:  # of namespaces that nobody needs any more
                self._ask({"op": "end"})
                continue
            if answer is not None:
                return self._found(pid, msgspec.convert(answer, Situation))
        raise System("the process outside the engine's network namespace ends again and again")

    def _found(self, pid: int, situation: Situation) -> Situation:
        if self._pidfd >= 0:
            os.close(self._pidfd)
        self._pid, self._pidfd, self._last = pid, os.pidfd_open(situation.pid), situation
        self._drop()  # the engine's connection takes its place
        return situation


class Outside(Companion):
    """For the engine. It cannot start the process; where that was killed, the starter does within seconds."""

    module = _MODULE

    def situation(self) -> Situation | None:
        """None where the process is not there."""
        if not self.connected() and not self.running():
            return None
        answer, _ = self._ask({"op": "situation"})
        return None if answer is None else msgspec.convert(answer, Situation)

    def routes(self) -> list[tuple[str, int]]:
        """Addresses and routes of the host; none where the process is not there."""
        if not self.connected() and not self.running():
            return []
        return msgspec.convert(self._ask({"op": "routes"})[0] or [], list[tuple[str, int]])

    def open_socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of the host's network namespace. Raises OSError."""
        message = {"op": "socket", "family": family, "kind": kind, "protocol": protocol}
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            if self.connected() or self.running():
                code, fds = self._ask(message, wanted=1)
                if code:
                    raise OSError(code, os.strerror(code))
                if fds:
                    return socket.socket(fileno=fds[0])
            time.sleep(_LOOK_SECONDS)
        raise OSError(errno.EHOSTUNREACH, "the process outside of the engine's network namespace has ended")

    def first_port(self) -> int:
        """The lowest port that a user may bind."""
        found = self.situation()
        return found.first_port if found is not None else 1024

    def stub(self, address: str) -> None:
        """Have the host's name server of that loopback address asked by who asks it here. Raises OSError."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with (
            socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as udp,
            socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as tcp,
        ):
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            udp.bind((address, 53))
            tcp.bind((address, 53))
            tcp.listen(64)
            self._send({"op": "stub", "address": address}, (udp.fileno(), tcp.fileno()))

    def without_stub(self, address: str) -> None:
        """It is no name server of the host any more."""
        self._send({"op": "stub", "address": address})


def _ended(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], 0)[0])
