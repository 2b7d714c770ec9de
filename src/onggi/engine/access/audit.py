"""The audit log of --audit-log: a line of JSON for each request that changes something, or that was refused.

    {"time": "...", "caller": {"uid": 1000, "gid": 1000, "pid": 4711}, "method": "POST",
     "route": "/containers/{id}/start", "object": "web", "asked": {"name": "web"}, "status": 204}

Reading is not logged, but for bytes that leave a container or an image (archives, exports, logs, attach).
Bodies are never logged, and of the query only words that hold no secret: a build argument may be one.
A line is written when the request has been answered (a stream: when it begins), in one write(2), to a file
0600 that only root may read; at 20 MB it is renamed to FILE.1, and so on up to FILE.5.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import msgspec

from onggi.engine import clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onggi.engine.access.callers import Caller

MAX_BYTES = 20_000_000
KEPT = 5
# GETs that are logged all the same.
TAKING = frozenset(
    {
        "/containers/{id}/archive", "/containers/{id}/export", "/containers/{id}/logs",
        "/containers/{id}/attach/ws", "/images/{name}/get", "/images/get", "/volumes/{name}/export",
    }
)  # fmt: skip
# Words of a query that say what was asked for and hold no secret.
WORDS = (
    "name", "fromImage", "fromSrc", "repo", "tag", "t", "container", "signal", "force", "v", "path", "names",
    "platform", "condition", "filters",
)  # fmt: skip
SHOWN_BYTES = 512

log = logging.getLogger(__name__)


def wanted(method: str, route: str, status: int) -> bool:
    """Is this request one to be logged?"""
    return status in (401, 403) or method not in ("GET", "HEAD") or route in TAKING


class Audit:
    """Owns the file. Any thread may write. A full disk stops no verb; the engine's log tells of it."""

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        self._path = path
        self._lock = threading.Lock()
        self._fd = self._open()

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._path, flags, 0o600)

    def write(
        self,
        caller: Caller | None,
        method: str,
        route: str,
        path: str,
        params: Mapping[str, str],
        query: Mapping[str, list[str]],
        status: int,
    ) -> None:
        """One request and how it was answered."""
        line: dict[str, Any] = {"time": clock.rfc3339(clock.now()), "caller": _shown(caller)}
        line |= {"method": method, "route": route or path[:SHOWN_BYTES]}
        if params:
            line["object"] = next(iter(params.values()))[:SHOWN_BYTES]
        asked = {word: query[word][0][:SHOWN_BYTES] for word in WORDS if word in query}
        if asked:
            line["asked"] = asked
        line["status"] = status
        data = msgspec.json.encode(line) + b"\n"
        with self._lock:
            try:
                if os.fstat(self._fd).st_size + len(data) > MAX_BYTES:
                    self._rotate()
                os.write(self._fd, data)
            except OSError as error:
                log.error("audit log %s: %s", self._path, error)

    def _rotate(self) -> None:
        for number in range(KEPT - 1, 0, -1):
            if os.path.exists(f"{self._path}.{number}"):
                os.rename(f"{self._path}.{number}", f"{self._path}.{number + 1}")
        os.rename(self._path, f"{self._path}.1")
        os.close(self._fd)
        self._fd = self._open()

    def close(self) -> None:
        os.close(self._fd)


def _shown(caller: Caller | None) -> dict[str, Any]:
    if caller is None:
        return {}
    return {
        name: value
        for name in ("uid", "gid", "pid", "name", "address")
        if (value := getattr(caller, name)) not in (None, "")
    }
