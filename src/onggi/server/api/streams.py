"""Handlers that give the connection away, and the exec instances: attach, exec, shells of builds, resize."""

from __future__ import annotations

from onggi.engine.containers import attach as attach_
from onggi.engine.containers import resize as resize_
from onggi.engine.exec_ import create as exec_create_
from onggi.engine.exec_ import inspect as exec_inspect_
from onggi.engine.exec_ import resize as exec_resize_
from onggi.engine.exec_ import start as exec_start_
from onggi.errors import InvalidParameter
from onggi.server import older_requests, websocket
from onggi.server.messages import Request, Response
from onggi.wire.containers import ExecCreateRequest, ExecStartRequest, IDResponse


async def attach(request: Request) -> None:
    """Connect to a container's streams; with neither `stream` nor `logs` dockerd answers with nothing."""
    tty = request.engine.containers.get(request.params["id"]).record.config.tty
    await attach_.attach(
        request.engine,
        request.params["id"],
        hijack=request.hijack(tty=tty),
        stream=request.flag("stream"),
        stdin=request.flag("stdin"),
        stdout=request.flag("stdout"),
        stderr=request.flag("stderr"),
        logs=request.flag("logs"),
        detach_keys=request.text("detachKeys"),
    )


async def attach_websocket(request: Request) -> None:
    """The same over a WebSocket; before 1.42 always all streams. Output is not framed."""
    chosen = request.version >= (1, 42)
    await attach_.attach(
        request.engine,
        request.params["id"],
        hijack=websocket.hijack(request),
        stream=request.flag("stream", default=True),
        stdin=request.flag("stdin") or not chosen,
        stdout=request.flag("stdout") or not chosen,
        stderr=request.flag("stderr") or not chosen,
        logs=request.flag("logs"),
        detach_keys=request.text("detachKeys"),
        framed=False,
    )


async def resize(request: Request) -> Response:
    rows, columns = _size(request)
    await resize_.resize(request.engine, request.params["id"], rows=rows, columns=columns)
    return Response()


async def exec_create(request: Request) -> Response:
    asked = older_requests.exec_create(await request.json(ExecCreateRequest), request.version)
    if not asked.cmd:
        raise InvalidParameter("No exec command specified")
    exec_id = await exec_create_.create(request.engine, request.params["id"], asked)
    return request.reply(IDResponse(id=exec_id), 201)


async def exec_start(request: Request) -> Response | None:
    asked = await request.optional_json(ExecStartRequest)
    exec_id = request.params["id"]
    tty = request.engine.execs.get(exec_id).request.tty
    await exec_start_.start(request.engine, exec_id, asked, hijack=request.hijack(tty=tty))
    return Response() if asked.detach else None


async def exec_resize(request: Request) -> Response:
    rows, columns = _size(request)
    await exec_resize_.resize(request.engine, request.params["id"], rows=rows, columns=columns)
    return Response()


async def exec_inspect(request: Request) -> Response:
    return request.reply(await exec_inspect_.inspect(request.engine, request.params["id"]))


async def build_shell(request: Request) -> None:
    """Onggi's own: a shell in what a build step left that failed, on this connection."""
    from onggi.builder import failed  # the builder's import is not for the first exec to wait for

    terminal = failed.Terminal(request.hijack(tty=True), *_size(request))
    await failed.shell(request.engine, request.params["id"], request.text("buildid"), terminal)


async def build_resize(request: Request) -> Response:
    """Onggi's own: of that shell's terminal."""
    from onggi.builder import failed

    rows, columns = _size(request)
    await failed.resize(request.engine, request.params["id"], rows=rows, columns=columns)
    return Response()


def _size(request: Request) -> tuple[int, int]:
    """Rows and columns of a terminal. Raises InvalidParameter."""
    rows, columns = request.number("h"), request.number("w")
    if not 0 <= rows < 65536 or not 0 <= columns < 65536:
        raise InvalidParameter(f"invalid terminal size: {rows} x {columns}")
    return rows, columns
