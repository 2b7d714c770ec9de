"""What a build asks of the client that started it, whichever door it came through.

The classic door answers out of the request (its tar is the only directory, its X-Registry-Config the only
credentials); BuildKit's door asks the client's session. Raised errors name the id or directory.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

import msgspec

from onggi.builder.cache.contexts import Context
from onggi.builder.graph import LocalSource
from onggi.builder.remote.places import Source


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """For one registry; `identity_token` instead of a password where the client has one."""

    username: str = ""
    password: str = ""
    identity_token: str = ""


class BuildClient(Protocol):
    """One per build. All methods may be called at the same time."""

    id: str  # names the session; part of no cache key

    async def directory(self, source: LocalSource, into: Context) -> bytes:
        """Bring the directory `into.path` (exists; holds what an earlier transfer with the same shared key
        left, or nothing) to what the client has now: the filters of `source` applied, removed files
        removed. Modes, owners (0:0 for a session, as the tar says for a tar), times, links and xattrs as
        sent. Returns the listing to be left there: if it is `into.listing`, nothing was changed, and
        into.begin() not called. Raises NotFound for an unknown name.
        """

    async def secret(self, id: str) -> bytes:
        """A secret's value, at most 500 KiB. Raises NotFound."""

    async def ssh(self, id: str) -> socket.socket:
        """One new connection to the client's ssh agent `id`. Raises NotFound."""

    async def credentials(self, registry: str) -> Credentials:
        """For `registry` (host[:port]); empty ones where the client has none."""

    async def upload(self, path: str, take: Callable[[bytes], None]) -> None:
        """What the client offers at `path` of http://buildkit-session/; `take` blocks. Raises NotFound."""

    def layout(self, store: str, digest: str) -> Source:
        """An OCI layout of the client's by its name for it, to be read from `digest` on. Raises NotFound."""
