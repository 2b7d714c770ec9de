"""Health checks: a command run inside a container again and again, and what its exits say of it.

    starting --success--> healthy <--success-- unhealthy
        \\___ retries failures in a row ___> unhealthy <--- retries failures --- healthy

Failures during the start period do not count until the first success. While starting, probes come each start
interval; afterwards each interval. Exit 0 is success; a probe that outlasts its timeout is killed and is a
failure with exit -1. The shim runs the probe, keeps the first 4096 bytes of what it says, and its time.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import msgspec

from onggi.engine import clock
from onggi.engine.exec_ import plans
from onggi.engine.record import HealthState, Probe
from onggi.engine.shims import ShimGone, Stdio
from onggi.engine.status import Status
from onggi.errors import OnggiError
from onggi.spawn.plan import StepFailed
from onggi.wire.containers import ExecCreateRequest

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord
    from onggi.wire.images import HealthConfig

INTERVAL = 30 * clock.SECOND
TIMEOUT = 30 * clock.SECOND
START_INTERVAL = 5 * clock.SECOND
RETRIES = 3
KEPT_PROBES = 5
OUTPUT_BYTES = 4096


def command(record: ContainerRecord) -> list[str]:
    """The check's arguments; empty where there is none."""
    check = record.config.healthcheck
    if check is None or not check.test or check.test[0] in ("NONE", ""):
        return []
    if check.test[0] == "CMD":
        return check.test[1:]
    shell = record.config.shell or ["/bin/sh", "-c"]
    return [*shell, check.test[1]] if len(check.test) > 1 else []


def initial(record: ContainerRecord) -> HealthState | None:
    """Health at the start of a run."""
    return HealthState() if command(record) else None


def begin(engine: Engine, container: Container) -> None:
    """Probe until the run ends, where there is a check."""
    if container.record.health is not None and command(container.record):
        name = f"health {container.id[:12]}"
        container.health_task = engine.task(_monitor(engine, container), name)


def end(container: Container) -> None:
    """Stop probing. A run's end makes an unfinished probe nobody's business."""
    if container.health_task is not None:
        container.health_task.cancel()
        container.health_task = None


async def _monitor(engine: Engine, container: Container) -> None:
    check = container.record.config.healthcheck
    assert check is not None
    while True:
        await asyncio.sleep(_pause(container.record, check) / clock.SECOND)
        if _paused(container):
            continue
        probe = await _probe(engine, container, check)
        if probe is None or not container.running:
            return
        if _paused(container):
            continue  # it was frozen in the middle: dockerd, too, asks again afterwards
        _take_note(engine, container, check, probe)


def _paused(container: Container) -> bool:
    return container.status is Status.PAUSED


def _pause(record: ContainerRecord, check: HealthConfig) -> int:
    assert record.health is not None
    interval = check.interval or INTERVAL
    if record.health.status == "starting" and check.start_period and _in_start_period(record, check):
        return min(check.start_interval or START_INTERVAL, interval)
    return interval


def _in_start_period(record: ContainerRecord, check: HealthConfig) -> bool:
    return clock.now() - record.started_at < check.start_period


async def _probe(engine: Engine, container: Container, check: HealthConfig) -> Probe | None:
    """Run the command once; None where the run has ended meanwhile."""
    shim = container.shim
    if shim is None:
        return None
    args = command(container.record)
    started_at = clock.now()
    exec_id = secrets.token_hex(32)
    timeout = (check.timeout or TIMEOUT) / clock.SECOND
    engine.events.exec_("exec_create", container.record, exec_id, args)
    try:
        plan = await engine.offload(
            plans.compile_exec, engine, container.record, ExecCreateRequest(cmd=args, attach_stdout=True)
        )
        engine.events.exec_("exec_start", container.record, exec_id, args)
        running = await shim.exec(exec_id, plan, Stdio(), capture=OUTPUT_BYTES, timeout=timeout)
        exit_ = await running.exited
    except ShimGone:
        return None
    except (StepFailed, OnggiError, OSError) as error:
        return Probe(started_at=started_at, ended_at=clock.now(), exit_code=-1, output=str(error))
    code, output = exit_.exit_code, exit_.output.decode("utf-8", "replace")
    if exit_.timed_out:
        code, output = -1, f"Health check exceeded timeout ({timeout:g}s): {output}"
    engine.events.container("exec_die", container.record, execID=exec_id, exitCode=str(exit_.exit_code))
    return Probe(started_at=started_at, ended_at=clock.now(), exit_code=code, output=output)


def _take_note(engine: Engine, container: Container, check: HealthConfig, probe: Probe) -> None:
    """The new state, and an event where it changed. Runs in one step of the event loop."""
    before = container.record.health
    assert before is not None
    after = judge(before, probe, check.retries or RETRIES, grace=_in_start_period(container.record, check))
    container.update(health=after)
    if after.status != before.status:
        engine.events.container(f"health_status: {after.status}", container.record)


def judge(before: HealthState, probe: Probe, retries: int, *, grace: bool) -> HealthState:
    """What a probe makes of a state; `grace`: the start period still runs."""
    log = (*before.log, probe)[-KEPT_PROBES:]
    if probe.exit_code == 0:
        return HealthState(status="healthy", failing_streak=0, log=log)
    if grace and before.status == "starting":
        return msgspec.structs.replace(before, log=log)
    streak = before.failing_streak + 1
    status = "unhealthy" if streak >= retries else before.status
    return HealthState(status=status, failing_streak=streak, log=log)
