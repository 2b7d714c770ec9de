"""Caches in a directory of `onggi build`'s: an OCI layout as an archive, before and after the build.

    POST /build/cache?buildid=ID&src=NAME    an archive of the layout that `cachefrom` will name
    GET  /build/cache?buildid=ID&dest=NAME   an archive of the layout that `cacheto` has named

They lie in the build cache's directory until the build or the client takes them, a minute at most. The
archive is hostile: it is unpacked below its directory (images/apply.py), and blobs are compared with their
digests.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

import msgspec

from onggi.builder.cache.cache import LOCAL
from onggi.engine import streams
from onggi.errors import InvalidParameter, NotFound, Unavailable
from onggi.images.apply import extract
from onggi.images.commit import pack_tree, packed

if TYPE_CHECKING:
    from onggi.builder.builder import Builder

KEPT_SECONDS = 60.0
KEPT_MAX = 32


class Kept(msgspec.Struct, frozen=True):
    path: str
    record_id: str


def key(build_id: str, kind: str, name: str) -> tuple[str, str, str]:
    """Raises InvalidParameter."""
    if not build_id or not name:
        raise InvalidParameter(f"buildid and {kind} are needed")
    return build_id, kind, name


async def receive(builder: Builder, build_id: str, name: str, body: AsyncIterator[bytes]) -> None:
    """Keep a layout for the build to come. Raises InvalidParameter, BadArchive, NoSpace."""
    where = key(build_id, "src", name)
    kept = await builder.work(make, builder)
    try:
        await builder.work(_unpacked, streams.body_reader(body), kept.path)
    except BaseException:
        await builder.work(forget, builder, kept)
        raise
    keep(builder, where, kept)


def make(builder: Builder) -> Kept:
    """An empty directory. Blocking."""
    tree = builder.cache.own_tree(LOCAL, f"layout-{secrets.token_hex(8)}")
    os.mkdir(f"{tree.path}/fs", 0o755)
    return Kept(f"{tree.path}/fs", tree.record_id)


def _unpacked(stream: streams.BodyReader, path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        extract(stream, fd)
    finally:
        os.close(fd)


def keep(builder: Builder, where: tuple[str, str, str], kept: Kept) -> None:
    """Until it is taken, or nobody has come for it."""
    if len(builder.layouts) >= KEPT_MAX or where in builder.layouts:
        forget(builder, kept)
        raise Unavailable(f"more than {KEPT_MAX} caches wait to be taken, or one twice")
    builder.layouts[where] = kept
    asyncio.get_running_loop().call_later(KEPT_SECONDS, _late, builder, where, kept)


def _late(builder: Builder, where: tuple[str, str, str], kept: Kept) -> None:
    if builder.layouts.get(where) is kept:
        del builder.layouts[where]
        forget(builder, kept)


def take(builder: Builder, where: tuple[str, str, str]) -> Kept:
    """Whoever takes it forgets it. Raises NotFound."""
    kept = builder.layouts.pop(where, None)
    if kept is None:
        raise NotFound(f"no cache of build {where[0]} in {where[2]}")
    return kept


def forget(builder: Builder, kept: Kept) -> None:
    builder.cache.release(kept.record_id)
    builder.cache.forget(kept.record_id)


async def send(builder: Builder, build_id: str, name: str) -> AsyncIterator[bytes]:
    """The layout that a build has made, as an archive. Raises NotFound."""
    kept = take(builder, key(build_id, "dest", name))

    async def pieces() -> AsyncGenerator[bytes, None]:
        source = packed(lambda pipe: pack_tree(kept.path, pipe))
        try:
            while data := await builder.work(next, source, b""):
                yield data
        finally:
            await builder.work(source.close)  # type: ignore[attr-defined]
            await leave()

    async def leave() -> None:
        await builder.work(forget, builder, kept)

    return streams.Begun(pieces(), leave)
