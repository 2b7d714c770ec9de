"""Who asks: the client of the request that is being worked on.

The server says so once for each connection; a context variable carries it into every task and worker thread
that the request starts, so that events and the audit log can name him without a word in every signature.
What the engine does by itself (a restart, a health check, the end of a run) has no caller.
"""

from __future__ import annotations

import socket
import struct
from contextvars import ContextVar, copy_context

import msgspec

SO_PEERGROUPS = 59  # asm-generic/socket.h, Linux 4.13
GROUPS_BYTES = 1024  # the most that Python's getsockopt takes: 256 groups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import Context


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A client: of a unix socket by SO_PEERCRED (unix(7)), of TLS by his certificate's common name."""

    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    groups: tuple[int, ...] = ()
    name: str = ""  # of the certificate
    address: str = ""  # of a TCP client

    @property
    def key(self) -> str:
        """Who he is from one connection to the next; empty where nobody can say."""
        if self.uid is not None:
            return f"uid:{self.uid}"
        return f"certificate:{self.name}" if self.name else ""

    def text(self) -> str:
        """As events and the audit log show him."""
        found = [
            (name, value)
            for name in ("uid", "gid", "pid", "name", "address")
            if (value := getattr(self, name)) not in (None, "")
        ]
        return ",".join(f"{name}={value}" for name, value in found)


def of_socket(sock: socket.socket) -> Caller:
    """The other end of an accepted connection; one that has gone already is nobody."""
    try:
        if sock.family != socket.AF_UNIX:
            return Caller(address=str(sock.getpeername()[0]))
        pid, uid, gid = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    except OSError:
        return Caller()
    return Caller(uid=uid, gid=gid, pid=pid, groups=_groups(sock))


def _groups(sock: socket.socket) -> tuple[int, ...]:
    """Supplementary groups; none where he has more than fit: then no rule for a group gives him anything."""
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, GROUPS_BYTES)
    except OSError:
        return ()
    return struct.unpack(f"{len(raw) // 4}I", raw)


_current: ContextVar[Caller | None] = ContextVar("caller", default=None)


def current() -> Caller | None:
    """The client of this request; None where the engine acts by itself."""
    return _current.get()


def enter(caller: Caller | None) -> None:
    """From here on this task, and what it starts, works for `caller`."""
    _current.set(caller)


def engines_own() -> Context:
    """A context for what the engine goes on with by itself, whoever began it."""
    context = copy_context()
    context.run(enter, None)
    return context
