"""Clients' sessions: each is a connection over which the engine asks the client (builder/client.py).

A session is here from its POST /session until its connection ends. A build that names one waits a moment
for it, for the two come over different connections.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote_plus

from grpclib.client import StreamStreamMethod, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from onggi.builder.buildkit import files
from onggi.builder.buildkit.connection import Called
from onggi.builder.buildkit.content import Store
from onggi.builder.buildkit.messages import kind
from onggi.builder.cache.contexts import Context
from onggi.builder.client import Credentials
from onggi.builder.graph import LocalSource
from onggi.errors import InvalidParameter, NotFound, TooLarge, Unavailable

WAIT_SECONDS = 10.0
SECRET_MAX = 500 << 10
AGENT_PIECE = 32 << 10


class Session:
    """One client's (builder/client.py: BuildClient). `work` runs what blocks."""

    def __init__(
        self, id: str, shared_key: str, channel: Called, work: Callable[..., Awaitable[Any]]
    ) -> None:
        self.id = id
        self.shared_key = shared_key
        self._channel = channel
        self._work = work
        self._agents: set[asyncio.Task[None]] = set()

    async def directory(self, source: LocalSource, into: Context) -> bytes:
        call = StreamStreamMethod(
            self._channel, "/moby.filesync.v1.FileSync/DiffCopy", kind("Packet"), kind("Packet")
        )
        try:
            async with call.open(metadata=_metadata(source)) as stream:
                await stream.send_request()
                return await files.receive(
                    stream, into.path, self._work, before=into.listing, begin=into.begin
                )
        except (GRPCError, StreamTerminatedError, ConnectionError) as error:
            raise _told(error, f"local directory {source.name}") from None

    async def secret(self, id: str) -> bytes:
        answer = await self._ask(
            "/moby.buildkit.secrets.v1.Secrets/GetSecret", kind("GetSecretRequest")(ID=id), "Bytes",
            f"secret {id}",
        )  # fmt: skip
        data: bytes = answer.data
        if len(data) > SECRET_MAX:
            raise TooLarge(f"secret {id} has {len(data)} bytes: more than {SECRET_MAX}")
        return data

    async def credentials(self, registry: str) -> Credentials:
        try:
            answer = await self._ask(
                "/moby.filesync.v1.Auth/Credentials", kind("CredentialsRequest")(Host=registry),
                "CredentialsResponse", registry,
            )  # fmt: skip
        except NotFound:
            return Credentials()
        if answer.Secret and not answer.Username:
            return Credentials(identity_token=answer.Secret)
        return Credentials(username=answer.Username, password=answer.Secret)

    async def ssh(self, id: str) -> socket.socket:
        await self._ask(
            "/moby.sshforward.v1.SSH/CheckAgent", kind("CheckAgentRequest")(ID=id), "Empty", f"ssh agent {id}"
        )
        ours, theirs = socket.socketpair()
        task = asyncio.create_task(self._forward(id, ours), name=f"ssh agent {id}")
        self._agents.add(task)
        task.add_done_callback(self._agents.discard)
        return theirs

    def layout(self, store: str, digest: str) -> Store:
        return self.content(f"oci:{store}", top=digest)

    async def upload(self, path: str, take: Callable[[bytes], None]) -> None:
        call = StreamStreamMethod(self._channel, "/moby.upload.v1.Upload/Pull", kind("Bytes"), kind("Bytes"))
        try:
            async with call.open(metadata={"urlpath": path, "urlhost": "buildkit-session"}) as stream:
                await stream.send_request(end=True)
                while (message := await stream.recv_message()) is not None:
                    await self._work(take, message.data)
        except (GRPCError, StreamTerminatedError, ConnectionError) as error:
            raise _told(error, f"upload {path}") from None

    async def _forward(self, id: str, sock: socket.socket) -> None:
        """One connection to the client's agent, until either side ends it."""
        reader, writer = await asyncio.open_connection(sock=sock)
        call = StreamStreamMethod(
            self._channel, "/moby.sshforward.v1.SSH/ForwardAgent", kind("Bytes"), kind("Bytes")
        )
        try:
            async with call.open(metadata={"buildkit.ssh.id": id}) as stream:
                await stream.send_request()
                sending = asyncio.create_task(_send(reader, stream))
                try:
                    while (message := await stream.recv_message()) is not None:
                        writer.write(message.data)
                        await writer.drain()
                finally:
                    sending.cancel()
                    await asyncio.gather(sending, return_exceptions=True)
                    await stream.cancel()
        except (GRPCError, StreamTerminatedError, OSError):
            return  # the agent's user sees its connection end
        finally:
            writer.close()

    @property
    def channel(self) -> Called:
        """Where this client's own services are called."""
        return self._channel

    def content(self, id: str, *, top: str = "") -> Store:
        """A content store of the client's by its name for it."""
        return Store(self._channel, id, self._work, top=top)

    async def _ask(self, method: str, request: Any, reply: str, what: str) -> Any:
        try:
            return await UnaryUnaryMethod(self._channel, method, type(request), kind(reply))(request)
        except (GRPCError, StreamTerminatedError, ConnectionError) as error:
            raise _told(error, what) from None

    def close(self) -> None:
        for task in self._agents:
            task.cancel()
        self._channel.close()


async def _send(reader: asyncio.StreamReader, stream: Any) -> None:
    while data := await reader.read(AGENT_PIECE):
        await stream.send_message(kind("Bytes")(data=data))
    await stream.end()


class Sessions:
    """Those that are open, by id."""

    def __init__(self) -> None:
        self._open: dict[str, Session] = {}
        self._arrived = asyncio.Condition()

    async def hold(self, session: Session, channel: Called) -> None:
        """Offer it until its connection ends. Raises InvalidParameter for an id that is taken."""
        if not session.id or session.id in self._open:
            raise InvalidParameter(f"session {session.id!r}: an id that is new is needed")
        self._open[session.id] = session
        try:
            async with self._arrived:
                self._arrived.notify_all()
            await channel.ended()
        finally:
            del self._open[session.id]
            session.close()

    async def get(self, id: str) -> Session:
        """Raises NotFound when it does not come."""
        try:
            async with asyncio.timeout(WAIT_SECONDS), self._arrived:
                await self._arrived.wait_for(lambda: id in self._open)
                return self._open[id]
        except TimeoutError:
            raise NotFound(f"no active session for {id}: context deadline exceeded") from None


def _metadata(source: LocalSource) -> list[tuple[str, str]]:
    """As headers, each name as often as it has values; a list that is not plain ASCII is escaped."""
    found = [("dir-name", source.name)]
    lists = (
        ("include-patterns", source.includes),
        ("exclude-patterns", source.excludes),
        ("followpaths", source.follow),
    )
    for name, values in lists:
        plain = all(value.isascii() and value.isprintable() for value in values)
        found += [(name, value if plain else quote_plus(value)) for value in values]
        if not plain:
            found.append((f"{name}-encoded", "1"))
    return found


def _told(error: BaseException, what: str) -> Exception:
    if isinstance(error, GRPCError):
        kinds = (Status.NOT_FOUND, Status.UNIMPLEMENTED)
        told = error.message or error.status.name
        return NotFound(f"{what}: {told}") if error.status in kinds else Unavailable(f"{what}: {told}")
    return Unavailable(f"{what}: the client's session has ended")
