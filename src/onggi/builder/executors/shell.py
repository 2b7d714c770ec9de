"""A shell in what a step left, on a client's terminal, in place of the step's own process.

It has the step's environment, user, directory, mounts, secrets, agents and network; what it changes is thrown
away with it. It ends with its client: a connection that is gone kills it. Failpoints: shell.prepared,
shell.started.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

import msgspec

from onggi import failpoints
from onggi.builder import entitlements
from onggi.builder.executors.process import Step
from onggi.builder.graph import Exec, Vertex
from onggi.builder.solver.job import Job
from onggi.builder.solver.results import Result, Stack
from onggi.engine.exec_.start import Hijacked
from onggi.engine.offload import to_the_end
from onggi.engine.shims import AttachOptions, Stdio
from onggi.errors import OnggiError

SHELLS = ("sh", "bash", "dash", "ash", "zsh", "ksh")
OPTIONS = AttachOptions(stdin=True, framed=False, detach_keys=b"")


def shell_of(op: Exec) -> str:
    """The program that the step was run by, where that is a shell."""
    program = op.args[0] if op.args else ""
    return program if program.rpartition("/")[2] in SHELLS else "/bin/sh"


class Shell:
    """One of them. `run` is called once; `resize` may be called meanwhile."""

    def __init__(self, job: Job, vertex: Vertex, inputs: list[Result | None], tree: Stack) -> None:
        assert isinstance(vertex.op, Exec)
        mounts = tuple(
            msgspec.structs.replace(one, output=-1, input=len(inputs) if one.target == "/" else one.input)
            for one in vertex.op.mounts
        )
        op = msgspec.structs.replace(vertex.op, args=(shell_of(vertex.op),), mounts=mounts)
        self._step = Step(job, vertex, op, [*inputs, tree], terminal=True)

    async def run(self, hijack: Callable[[], Awaitable[Hijacked]], rows: int, columns: int) -> None:
        """To its end, or its client's. Raises NotFound (a secret), InvalidParameter, Forbidden, OSError.

        Why it cannot start goes into the connection, whose head is out by then.
        """
        step = self._step
        entitlements.check(step.job.options.entitlements, [step.vertex])
        try:
            await step.prepare()
            failpoints.hit("shell.prepared")
            taken = await hijack()
            with taken.sock:
                stdio = Stdio(terminal=True, stdin=True, stdin_once=True, rows=rows, columns=columns)
                try:
                    attached = await step.start(taken.sock, taken.early, OPTIONS, stdio)
                    failpoints.hit("shell.started")
                    await attached.ended
                except OnggiError as error:
                    with contextlib.suppress(ConnectionError):  # the client has gone
                        taken.sock.send(f"{error.message}\r\n".encode())
        finally:
            await to_the_end(step.close())

    async def resize(self, rows: int, columns: int) -> None:
        """Raises Conflict where it has not begun, or has ended."""
        await self._step.resize(rows, columns)
