"""What an exec instance is and has come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.wire.containers import ExecInspectResponse, ProcessConfig

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


async def inspect(engine: Engine, exec_id: str) -> ExecInspectResponse:
    """Raises NoSuchExec."""
    instance = engine.execs.get(exec_id)
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
