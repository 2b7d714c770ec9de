"""Operations of later issues: each answers 501 and says what this engine does not do."""

from __future__ import annotations

from onggi.errors import NotFound, NotImplemented_
from onggi.server.messages import Request, Response


async def plugins(request: Request) -> Response:
    raise NotImplemented_("this engine has no plugins")


async def no_such_plugin(request: Request) -> Response:
    """`docker inspect NAME` asks for a plugin last of all, and goes by the 404."""
    raise NotFound(f'plugin "{request.params["name"]}" not found')


async def no_plugins(request: Request) -> Response:
    """The list of plugins, which is empty: clients ask for it before they show their help."""
    return Response(body=b"[]")


async def checkpoints(request: Request) -> Response:
    """Raises NotFound where there is no such container, before anything else."""
    container = request.engine.containers.get(request.params["id"])
    raise NotImplemented_(
        f"container {container.id} cannot be checkpointed: this engine does not save the state of processes"
    )


async def swarm(request: Request) -> Response:
    raise NotImplemented_("this engine does not form swarms")
