"""From method and path to a handler.

The table is data: (method, pattern, handler). `{id}` is one segment, `{name}` may hold slashes, as names of
images do. A handler is named as "module:function" of onggi.server.api and imported when it is first asked
for, so that an idle engine does not hold what it does not need; tests resolve every one.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Awaitable, Callable, Iterable
from importlib import import_module
from typing import NamedTuple

from onggi.errors import InvalidParameter, NotFound
from onggi.server.messages import Request, Response, Stream

MIN_VERSION = (1, 24)
MAX_VERSION = (1, 55)
VERSION_TEXT = f"{MAX_VERSION[0]}.{MAX_VERSION[1]}"
MIN_VERSION_TEXT = f"{MIN_VERSION[0]}.{MIN_VERSION[1]}"

Handler = Callable[[Request], Awaitable[Response | Stream | None]]
Entry = tuple[str, str, str]

_VERSIONED = re.compile(r"/v([0-9][0-9.]*)(/.*)")


class _Route(NamedTuple):
    expression: re.Pattern[str]
    handler: str
    pattern: str


class Router:
    """A routing table, made ready: routes are looked up by method and first segment."""

    def __init__(self, table: Iterable[Entry]) -> None:
        self._routes: dict[tuple[str, str], list[_Route]] = {}
        self._handlers: dict[str, Handler] = {}
        for method, pattern, handler in table:
            key = (method, pattern.split("/")[1])
            self._routes.setdefault(key, []).append(_Route(_expression(pattern), handler, pattern))

    def find(self, request: Request) -> Handler:
        """The handler; fills `version` and `params`. Raises NotFound, InvalidParameter (the version)."""
        path, version_text = _split_version(request.path)
        route, params = self._match(request.method, path)
        request.version = _check_version(version_text)
        request.params = params
        request.route = route.pattern
        return self.resolve(route.handler)

    def _match(self, method: str, path: str) -> tuple[_Route, dict[str, str]]:
        first = path.split("/", 2)[1] if path.startswith("/") else ""
        for route in self._routes.get((method, first), ()):
            found = route.expression.fullmatch(path)
            if found is not None:
                return route, found.groupdict()
        raise NotFound("page not found")

    def resolve(self, name: str) -> Handler:
        """Import a handler by its name in the table."""
        handler = self._handlers.get(name)
        if handler is None:
            module, _, function = name.partition(":")
            handler = getattr(import_module(f"onggi.server.api.{module}"), function)
            self._handlers[name] = handler
        return handler


def cleaned(path: str) -> str:
    """Without empty parts, `.` and `..`; dockerd's router sends clients there (gorilla/mux, cleanPath)."""
    if "//" not in path and "/." not in path:
        return path
    clean = posixpath.normpath("/" + path.lstrip("/"))
    return f"{clean}/" if path.endswith("/") and clean != "/" else clean


def _expression(pattern: str) -> re.Pattern[str]:
    escaped = re.escape(pattern).replace(r"\{", "{").replace(r"\}", "}")
    escaped = escaped.replace("{name}", r"(?P<name>.+)")
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", escaped), re.DOTALL)


def _split_version(path: str) -> tuple[str, str]:
    found = _VERSIONED.fullmatch(path)
    return (found[2], found[1]) if found is not None else (path, "")


def _check_version(text: str) -> tuple[int, int]:
    if not text:
        return MAX_VERSION
    numbers = [int(part) for part in text.split(".") if part and len(part) < 10]
    version = (numbers[0] if numbers else 0, numbers[1] if len(numbers) > 1 else 0)
    if version < MIN_VERSION:
        raise InvalidParameter(
            f"client version {text} is too old. Minimum supported API version is {MIN_VERSION_TEXT}, "
            "please upgrade your client to a newer version"
        )
    if version > MAX_VERSION:
        raise InvalidParameter(
            f"client version {text} is too new. Maximum supported API version is {VERSION_TEXT}"
        )
    return version
