"""May this caller have this request? Asked by the server before a handler is called.

What a level may do is a table of routes; what "own" may ask for in a body is in own.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine.access import callers, own
from onggi.engine.access.policy import Level
from onggi.errors import Forbidden, NoSuchContainer, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onggi.engine.access.callers import Caller
    from onggi.engine.engine import Engine

ALWAYS = frozenset({"/_ping"})
NOT_READING = frozenset({"/containers/{id}/attach/ws"})  # a GET that writes
# What "own" may do beside what names one of his containers.
OWN_READS = frozenset(
    {
        "/info", "/version", "/events", "/openapi.json", "/containers/json", "/images/json",
        "/images/{name}/json", "/images/{name}/history",
    }
)  # fmt: skip
OWN_WRITES = frozenset({("POST", "/containers/create"), ("POST", "/images/create"), ("POST", "/auth")})
PREFIXES = ("/containers/{id}", "/exec/{id}")


def check(engine: Engine, method: str, route: str, params: Mapping[str, str], query: str) -> None:
    """Raises Forbidden; NoSuchContainer for a container that is not the caller's."""
    if engine.access is None or route in ALWAYS:
        return
    caller = callers.current()
    level = engine.access.level(caller)
    if level is Level.ALL:
        return
    reading = method in ("GET", "HEAD")
    if level is Level.READ and reading and route not in NOT_READING:
        return
    if level is Level.OWN and _own(engine, method, route, params, query, reading=reading):
        return
    raise Forbidden(f"access policy: {_name(caller)} may not {method} {route} (level {level})")


def _own(
    engine: Engine, method: str, route: str, params: Mapping[str, str], query: str, *, reading: bool
) -> bool:
    if route.startswith(PREFIXES[0]):
        own.refuse_foreign(engine, engine.containers.get(params["id"]).record, params["id"])
        return not route.endswith("/checkpoints")
    if route.startswith(PREFIXES[1]):
        record = engine.execs.get(params["id"]).container.record
        if not own.sees(engine, record):
            raise NoSuchContainer(params["id"])
        return True
    if reading:
        if params and route not in OWN_READS:
            raise NotFound(
                f"no such object: {next(iter(params.values()))}"
            )  # what he may not see is not there
        return route in OWN_READS
    if route == "/images/create" and "fromSrc" in query:
        return False  # an import: whoever makes an image under a name chooses what others run
    return (method, route) in OWN_WRITES


def _name(caller: Caller | None) -> str:
    return caller.text() if caller is not None else "nobody"
