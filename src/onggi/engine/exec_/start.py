"""Start an exec instance, detached or on the connection that the client has given up."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from onggi import failpoints
from onggi.engine import clock, start_errors
from onggi.engine.attach_options import detach_keys
from onggi.engine.exec_.plans import compile_exec
from onggi.engine.shims import AttachOptions, ShimGone, Stdio
from onggi.engine.status import Status
from onggi.errors import Conflict, OnggiError, System
from onggi.spawn.plan import StepFailed
from onggi.wire.containers import ExecStartRequest

if TYPE_CHECKING:
    import asyncio
    import socket

    from onggi.engine.engine import Engine
    from onggi.engine.exec_.table import Exec
    from onggi.engine.shims import ExecExit, Shim


class Hijacked(Protocol):
    """A connection that HTTP has left, and the bytes that came with its request."""

    @property
    def sock(self) -> socket.socket: ...
    @property
    def early(self) -> bytes: ...


async def start(
    engine: Engine,
    exec_id: str,
    request: ExecStartRequest,
    *,
    hijack: Callable[[], Awaitable[Hijacked]],
) -> None:
    """Run the process; returns when its execve has happened, or, attached, has failed into the connection.

    Commit point: the shim has answered. Failpoints: exec.compiled, exec.started, exec.ended.
    Raises NoSuchExec, Conflict, StartFailed (detached).
    """
    instance = engine.execs.get(exec_id)
    container = instance.container
    shim = container.shim  # of this run: there may be none, or another, when the plan is made
    if instance.started:
        raise Conflict(
            f"exec command {exec_id} has already run"
            if not instance.running
            else f"exec command {exec_id} is already running"
        )
    if container.status is Status.PAUSED:
        raise Conflict(f"container {container.id} is paused, unpause the container before exec")
    if not container.running or shim is None:
        raise Conflict(f"container {container.id} is not running")
    instance.started = True
    instance.shim = shim
    if request.detach:
        plan = await _plan(engine, instance)
        await _run(engine, instance, shim, plan, _stdio(instance, request), None)
        return
    try:
        taken = await hijack()
    except BaseException:
        instance.failed(126)
        raise
    with taken.sock:
        try:
            plan = await _plan(engine, instance)
            await _run(engine, instance, shim, plan, _stdio(instance, request), taken)
        except OnggiError as error:
            # The head has gone out: the reason goes where the output would, as dockerd's does.
            with contextlib.suppress(ConnectionError):  # the client has gone
                taken.sock.send(_framed(error.message, tty=instance.request.tty))


async def _plan(engine: Engine, instance: Exec) -> dict[str, object]:
    """Raises InvalidParameter (an unknown user), Conflict (the container has ended meanwhile)."""
    record = instance.container.record
    try:
        plan = await engine.offload(compile_exec, engine, record, instance.request)
    except (FileNotFoundError, ProcessLookupError):  # its /proc/PID: proc(5)
        instance.failed(128)
        raise Conflict(f"container {record.id} is not running") from None
    except OSError as error:
        instance.failed(126)
        raise System(f"container {record.id}: {error}") from error
    except BaseException:
        instance.failed(126)
        raise
    failpoints.hit("exec.compiled")
    engine.events.exec_("exec_start", record, instance.id, instance.request.cmd)
    return plan


def _framed(message: str, *, tty: bool) -> bytes:
    text = message.encode() + b"\r\n"
    return text if tty else b"\x02\0\0\0" + len(text).to_bytes(4, "big") + text


def _stdio(instance: Exec, request: ExecStartRequest) -> Stdio:
    size = request.console_size or instance.request.console_size or [0, 0]
    wanted = instance.request
    return Stdio(
        terminal=wanted.tty,
        stdin=wanted.attach_stdin and not request.detach,
        stdin_once=True,
        rows=size[0],
        columns=size[1],
    )


async def _run(
    engine: Engine,
    instance: Exec,
    shim: Shim,
    plan: dict[str, object],
    stdio: Stdio,
    taken: Hijacked | None,
) -> None:
    wanted = instance.request
    options = AttachOptions(
        stdin=stdio.stdin,
        stdout=wanted.attach_stdout,
        stderr=wanted.attach_stderr,
        framed=not wanted.tty,
        detach_keys=detach_keys(wanted.detach_keys),
    )
    try:
        started = await shim.exec(
            instance.id,
            plan,
            stdio,
            sock=taken.sock if taken else None,
            early=taken.early if taken else b"",
            options=options,
            note=msgspec.json.encode(wanted),
        )
    except StepFailed as error:
        failure = start_errors.exec_failed(
            error, wanted.cmd[0], wanted.working_dir, instance.container.record.host_config.runtime or ""
        )
        instance.failed(failure.exit_code)
        raise failure from None
    except ShimGone:
        instance.failed(128)
        raise Conflict(f"container {instance.container.id} is not running") from None
    except BaseException:
        instance.failed(128)
        raise
    failpoints.hit("exec.started")
    watch(engine, instance, started.pid, started.exited)


def watch(engine: Engine, instance: Exec, pid: int, exited: asyncio.Future[ExecExit]) -> None:
    """The instance runs: wait for its end. Adoption by a later engine comes here too (exec_/adopt.py)."""
    instance.started, instance.running, instance.pid = True, True, pid
    instance.begun.set()
    instance.exited = exited
    instance.task = engine.task(_watch(engine, instance, exited), f"exec {instance.id[:12]}")


async def _watch(engine: Engine, instance: Exec, exited: asyncio.Future[ExecExit]) -> None:
    exit_ = await exited
    failpoints.hit("exec.ended")
    instance.running = False
    instance.exit_code = exit_.exit_code
    instance.ended_at = clock.now()
    engine.events.container(
        "exec_die", instance.container.record, execID=instance.id, exitCode=str(exit_.exit_code)
    )
