"""How many clients there may be at once, and who has to go when there are more.

A connection is a descriptor, over TLS three, and the engine itself needs some. When there are as many as may
be, a new client takes the place of the one that has been connected longest among those that hold nothing but
their place: TLS that is not agreed on yet, or a request that has not come whole. So whoever opens thousands
of connections and says nothing, or says it slowly, pushes out himself.
"""

from __future__ import annotations

import asyncio
import json
import resource
from typing import Protocol, cast

OWN_DESCRIPTORS = 256  # the engine's files, workers, links to shims
LEAST = 64
_BODY = json.dumps({"message": "too many connections to the engine"}).encode()
_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


class Guest(Protocol):
    """Somebody who is connected."""

    @property
    def idle(self) -> bool:
        """Does nothing begun end when he is sent away?"""

    def close(self) -> None: ...


class Crowd:
    """The guests, oldest first."""

    def __init__(self, most: int = 0) -> None:
        self._guests: dict[Guest, int] = {}
        self._most = most or allowed()
        self._descriptors = 0

    def enter(self, guest: Guest, descriptors: int = 1) -> None:
        self._guests[guest] = descriptors
        self._descriptors += descriptors

    def leave(self, guest: Guest) -> None:
        self._descriptors -= self._guests.pop(guest, 0)

    def room(self) -> bool:
        """Is there room for one more, if need be by sending somebody away?"""
        while self._descriptors >= self._most:
            idle = next((guest for guest in self._guests if guest.idle), None)
            if idle is None:
                return False
            self.leave(idle)
            idle.close()
        return True


def allowed() -> int:
    """Half of what the process may have, less what the engine needs."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(LEAST, (min(soft, 1 << 20) - OWN_DESCRIPTORS) // 2)


class Refused(asyncio.Protocol):
    """A connection too many: told why where that may be told, and closed."""

    def __init__(self, *, told: bool) -> None:
        self._told = told

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        out = cast(asyncio.Transport, transport)
        if self._told:
            out.write(_ANSWER)
        out.close()
