"""When a container that has ended is started again, and how long it waits before.

The wait is 100 ms, doubles with every start up to a minute, and begins anew after a run of ten seconds.
Failpoint: policy.counted.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from onggi import failpoints
from onggi.engine import clock
from onggi.engine.containers.table import Exit
from onggi.engine.status import Event, Status, after
from onggi.errors import OnggiError

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord
    from onggi.engine.shims import ExitRecord

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 60.0
STEADY_NS = 10 * clock.SECOND


def wanted(record: ContainerRecord, exit_code: int) -> bool:
    """Does the policy ask for another run after this exit?"""
    policy = record.host_config.restart_policy
    match policy.name:
        case "always":
            return True
        case "unless-stopped":
            return not record.manually_stopped
        case "on-failure":
            most = policy.maximum_retry_count
            return exit_code != 0 and (most == 0 or record.restart_count < most)
    return False


def delay(record: ContainerRecord, exit_: ExitRecord) -> float | None:
    """Seconds until the next run, or None where there is none."""
    if record.exit_on_next or not wanted(record, exit_.exit_code):
        return None
    if exit_.finished_at - record.started_at >= STEADY_NS:
        return FIRST_SECONDS
    return float(min(FIRST_SECONDS * 2 ** min(record.restart_count, 16), LONGEST_SECONDS))


def schedule(engine: Engine, container: Container, seconds: float) -> None:
    """Begin the next run in so many seconds, unless someone stops, starts or removes the container before."""
    container.restart_task = engine.task(_restart(engine, container, seconds), f"restart {container.id[:12]}")


async def _restart(engine: Engine, container: Container, seconds: float) -> None:
    from onggi.engine import run  # run.py schedules restarts: it imports us

    await asyncio.sleep(seconds)
    async with container.lock:
        if container.removed or container.status is not Status.RESTARTING:
            return
        container.restart_task = None
        container.update(restart_count=container.record.restart_count + 1)
        failpoints.hit("policy.counted")
        try:
            await run.begin(engine, container)
        except (OnggiError, OSError):
            # The record says why; Docker retries only what has run, and so do we.
            return


def give_up(engine: Engine, container: Container) -> None:
    """Stop waiting for the next run; the lock is held and the status is restarting.

    Who waits for the container to be down is told: no exit comes any more that would.
    """
    if container.restart_task is not None:
        container.restart_task.cancel()
        container.restart_task = None
    record = container.update(
        status=after(container.status, Event.GIVE_UP), manually_stopped=True, exit_on_next=True
    )
    container.tell_exit(Exit(exit_code=record.exit_code, error=record.error))
    engine.events.container("stop", container.record)
