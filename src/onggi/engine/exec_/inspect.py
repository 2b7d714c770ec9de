"""What an exec instance is and has come to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from onggi.engine.shims import ShimGone
from onggi.wire.containers import ExecInspectResponse, ProcessConfig

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.exec_.table import Exec


async def inspect(engine: Engine, exec_id: str) -> ExecInspectResponse:
    """Raises NoSuchExec."""
    instance = engine.execs.get(exec_id)
    if instance.started and instance.exit_code is None:
        await _catch_up(instance)
    request = instance.request
    return ExecInspectResponse(
        can_remove=False,
        detach_keys=request.detach_keys,
        id=instance.id,
        running=instance.running,
        exit_code=instance.exit_code,
        process_config=ProcessConfig(
            privileged=request.privileged,
            user=request.user,
            tty=request.tty,
            entrypoint=request.cmd[0],
            arguments=request.cmd[1:],
        ),
        open_stdin=request.attach_stdin,
        open_stdout=request.attach_stdout,
        open_stderr=request.attach_stderr,
        container_id=instance.container.id,
        pid=instance.pid,
    )


async def _catch_up(instance: Exec) -> None:
    """Take note of what the shim told before this question.

    A client has its output from the shim itself: it sees the end, and asks for the exit code, before this
    process may have read that the exec ended. The shim's answer comes behind what it told earlier. It is the
    shim of the exec's run, which the container may have let go of: its end comes before those of its execs.
    """
    if instance.shim is not None:
        try:
            await instance.shim.state()
        except ShimGone:
            pass  # then its end is known
    if instance.task is not None and instance.exited is not None and instance.exited.done():
        await asyncio.shield(instance.task)
