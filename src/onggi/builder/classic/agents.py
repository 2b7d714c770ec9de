"""The client's ssh agents, for the classic door: connections that it holds ready, one for each of a step's.

    client -- POST /build/ssh?buildid=B&id=default, upgraded --> waits here, until a step wants the agent
    client -- and the next one, when it hears the first byte, or the end of one that was not wanted

An agent speaks when it is spoken to, so the client knows by the first byte that its agent is wanted.
BuildKit's door asks its client's session instead (buildkit/sessions.py). For the event loop's thread.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import TYPE_CHECKING

from onggi.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from onggi.builder.builder import Builder

AGENTS_MAX = 16  # of one build
READY_MAX = 16  # connections of one agent that wait
BUILDS_MAX = 64
READY_SECONDS = 10.0  # in which a client has the next one ready
WAITING_SECONDS = 60.0  # in which its build begins


class Agents:
    """Of one build. `begun`: its build has begun, and ends them."""

    def __init__(self) -> None:
        self._ready: dict[str, deque[socket.socket]] = {}
        self._news = asyncio.Condition()
        self.begun = False
        self.closed = False

    async def offer(self, id: str, sock: socket.socket) -> None:
        """One more connection, this object's from now on."""
        ready = self._ready.setdefault(id, deque())
        if self.closed or len(ready) >= READY_MAX:
            sock.close()
            return
        ready.append(sock)
        async with self._news:
            self._news.notify_all()

    def room(self, id: str) -> None:
        """Raises Unavailable where this agent would be one too many."""
        if id not in self._ready and len(self._ready) >= AGENTS_MAX:
            raise Unavailable(f"more than {AGENTS_MAX} ssh agents for one build")

    async def take(self, id: str) -> socket.socket:
        """Raises NotFound where the client has no such agent, or has none ready in time."""
        ready = self._ready.get(id)
        if ready is None:
            raise NotFound(f"ssh agent {id}: not found")
        try:
            async with asyncio.timeout(READY_SECONDS), self._news:
                await self._news.wait_for(lambda: bool(ready) or self.closed)
        except TimeoutError:
            raise NotFound(f"ssh agent {id}: the client had no connection ready") from None
        if not ready:
            raise NotFound(f"ssh agent {id}: the build has ended")
        return ready.popleft()

    def close(self) -> None:
        """Let go of all that wait."""
        self.closed = True
        for ready in self._ready.values():
            while ready:
                ready.popleft().close()


def of(builder: Builder, build_id: str, *, again: bool = False) -> Agents:
    """Those of a build that runs, or is to begin; `again`: it has some. Raises NotFound, Unavailable."""
    found = builder.agents.get(build_id)
    if found is None:
        if again:
            raise NotFound(f"build {build_id} has ended")
        if len(builder.agents) >= BUILDS_MAX:
            raise Unavailable(f"more than {BUILDS_MAX} builds have ssh agents")
        found = builder.agents[build_id] = Agents()
        asyncio.get_running_loop().call_later(WAITING_SECONDS, _late, builder, build_id, found)
    return found


def _late(builder: Builder, build_id: str, agents: Agents) -> None:
    if not agents.begun:
        end(builder, build_id, agents)


def end(builder: Builder, build_id: str, agents: Agents) -> None:
    if builder.agents.get(build_id) is agents:
        del builder.agents[build_id]
    agents.close()
