"""An ssh agent of the client's as a socket on this host, for as long as a step runs."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import TYPE_CHECKING

from onggi.errors import OnggiError

if TYPE_CHECKING:
    from onggi.builder.client import BuildClient

PIECE_BYTES = 64 << 10
log = logging.getLogger(__name__)


class Agent:
    """Listens at `path`; each connection is led to the client's agent `id`. An async context manager."""

    def __init__(self, client: BuildClient, id: str, path: str) -> None:
        self.path = path
        self._client = client
        self._id = id
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Agent:
        directory, _, name = self.path.rpartition("/")
        dir_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(f"/proc/self/fd/{dir_fd}/{name}")  # sun_path holds 108 bytes
        except BaseException:
            listener.close()
            raise
        finally:
            os.close(dir_fd)
        self._server = await asyncio.start_unix_server(self._accepted, sock=listener)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        os.unlink(self.path)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._joined(reader, writer)
        except (OnggiError, OSError) as error:
            log.warning("ssh agent %s: %s", self._id, error)
        except asyncio.CancelledError:
            return  # the step has ended; the server's own callback reports cancelled tasks as errors
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(sock=await self._client.ssh(self._id))
        try:
            await asyncio.gather(_pass(reader, far_writer), _pass(far_reader, writer))
        finally:
            far_writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(PIECE_BYTES):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
