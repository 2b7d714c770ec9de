"""docker cp, export and diff on a real engine: a container before its start and while it runs."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator

import pytest

from onggi.engine.containers.archive_get import archive_get
from onggi.engine.containers.archive_put import archive_put
from onggi.engine.containers.diff import diff
from onggi.engine.containers.export import export
from onggi.errors import InvalidParameter, NotFound

from .conftest import Bench

pytestmark = pytest.mark.root


def tar(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        made.addfile(info, io.BytesIO(content))
    return stream.getvalue()


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 700):
        yield data[at : at + 700]


async def members(chunks: AsyncIterator[bytes]) -> dict[str, bytes | None]:
    data = b"".join([chunk async for chunk in chunks])
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        files = {member.name: opened.extractfile(member) if member.isreg() else None for member in opened}
        return {name: file.read() if file else None for name, file in files.items()}


@pytest.mark.parametrize("running", [False, True])
async def test_in_out_diff_and_export(bench: Bench, *, running: bool) -> None:
    name = await (bench.start if running else bench.create)("sleep", "600")
    await archive_put(bench.engine, name, "/data", pieces(tar("new", b"content")))
    facts, chunks = await archive_get(bench.engine, name, "/data")
    assert facts.name == "data" and facts.mode & 1 << 31
    assert (await members(chunks))["data/new"] == b"content"
    found = {(change.kind, change.path) for change in await diff(bench.engine, name)}
    assert (1, "/data/new") in found and (0, "/data") in found
    assert (await members(await export(bench.engine, name)))["data/new"] == b"content"
    with pytest.raises(NotFound, match=f"Could not find the file /none in container {name}"):
        await archive_get(bench.engine, name, "/none")
    with pytest.raises(InvalidParameter, match="not a tar header"):
        await archive_put(bench.engine, name, "/data", pieces(b"nonsense" * 400))
