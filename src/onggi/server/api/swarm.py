"""Swarm operations, answered as by a dockerd that is in no swarm."""

from __future__ import annotations

from onggi.errors import Unavailable
from onggi.server.messages import Request, Response


async def not_a_manager(request: Request) -> Response:
    raise Unavailable(
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
        "to connect this node to swarm and try again."
    )


async def not_in_a_swarm(request: Request) -> Response:
    raise Unavailable("This node is not part of a swarm")
