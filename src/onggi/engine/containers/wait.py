"""Wait for a container: not running, its next exit, or its removal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from onggi.engine.status import is_running
from onggi.errors import InvalidParameter
from onggi.wire.containers import ContainerWaitExitError, ContainerWaitResponse

if TYPE_CHECKING:
    from onggi.engine.containers.table import Exit
    from onggi.engine.engine import Engine

CONDITIONS = ("not-running", "next-exit", "removed")


async def wait(engine: Engine, name: str, condition: str = "not-running") -> Awaitable[ContainerWaitResponse]:
    """Registers now, so that nothing between this call and the awaiting is missed.

    Raises NoSuchContainer, InvalidParameter.
    """
    condition = condition or "not-running"
    if condition not in CONDITIONS:
        raise InvalidParameter(f'invalid condition: "{condition}"')
    container = engine.containers.get(name)
    if condition == "removed":
        return _answer(container.removal(), told=False)
    if condition == "not-running" and not is_running(container.status):
        record = container.record
        return _now(ContainerWaitResponse(status_code=record.exit_code))
    return _answer(container.next_exit())


async def _answer(ended: asyncio.Future[Exit], *, told: bool = True) -> ContainerWaitResponse:
    """The error of a run is no error of its removal: `told` False leaves it out, as dockerd does."""
    exit_ = await ended
    error = ContainerWaitExitError(message=exit_.error) if exit_.error and told else None
    return ContainerWaitResponse(status_code=exit_.exit_code, error=error)


async def _now(answer: ContainerWaitResponse) -> ContainerWaitResponse:
    return answer
