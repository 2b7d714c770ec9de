"""The one state machine of a container, and what Docker shows of it.

                        start            pause
       create -> created -----> running ------> paused
                    |           |  ^  ^ <------   |
                    |      exit |  |  | unpause   | exit
                    |           |  |  |           |
                    |           v  |start         v
                    |   +--- exited  <------------+
                    |   |       ^   \\
                    |   |       |    restart policy: exit -> restarting -> start
                    v   v       |    (stop while restarting -> exited)
                  removing -----+--> (gone)
                       \\
                        dead      a removal that failed; may be tried again

`after(status, event)` is the table. Docker's overlapping flags (a paused container is Running as well; a
restarting one is Running and Restarting) are derived in `state()` alone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from onggi.engine import clock
from onggi.errors import Conflict
from onggi.spec import age
from onggi.wire.containers import ContainerState, Health, HealthcheckResult

if TYPE_CHECKING:
    from onggi.engine.record import ContainerRecord, HealthState


class Status(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


class Event(StrEnum):
    START = "start"
    START_FAILED = "fail to start"
    EXIT = "exit"
    EXIT_TO_RESTART = "exit to restart"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    GIVE_UP = "give up restarting"
    REMOVE = "remove"
    REMOVE_FAILED = "fail to remove"


_S, _E = Status, Event
_TABLE: dict[tuple[Status, Event], Status] = {
    (_S.CREATED, _E.START): _S.RUNNING,
    (_S.CREATED, _E.START_FAILED): _S.CREATED,
    (_S.CREATED, _E.REMOVE): _S.REMOVING,
    (_S.RUNNING, _E.EXIT): _S.EXITED,
    (_S.RUNNING, _E.EXIT_TO_RESTART): _S.RESTARTING,
    (_S.RUNNING, _E.PAUSE): _S.PAUSED,
    (_S.PAUSED, _E.UNPAUSE): _S.RUNNING,
    (_S.PAUSED, _E.EXIT): _S.EXITED,
    (_S.PAUSED, _E.EXIT_TO_RESTART): _S.RESTARTING,
    (_S.RESTARTING, _E.START): _S.RUNNING,
    (_S.RESTARTING, _E.START_FAILED): _S.EXITED,
    (_S.RESTARTING, _E.GIVE_UP): _S.EXITED,
    (_S.RESTARTING, _E.EXIT): _S.EXITED,
    (_S.EXITED, _E.START): _S.RUNNING,
    (_S.EXITED, _E.START_FAILED): _S.EXITED,
    (_S.EXITED, _E.EXIT_TO_RESTART): _S.RESTARTING,
    (_S.EXITED, _E.REMOVE): _S.REMOVING,
    (_S.REMOVING, _E.REMOVE): _S.REMOVING,
    (_S.REMOVING, _E.REMOVE_FAILED): _S.DEAD,
    (_S.DEAD, _E.REMOVE): _S.REMOVING,
}


def after(status: Status, event: Event) -> Status:
    """The status that follows. Raises Conflict where the table has no entry."""
    try:
        return _TABLE[status, event]
    except KeyError:
        raise Conflict(f"cannot {event} a container that is {status}") from None


def has_process(status: Status) -> bool:
    """Does a container of this status have an init right now?"""
    return status in (Status.RUNNING, Status.PAUSED)


def is_running(status: Status) -> bool:
    """Docker's State.Running, which is true of paused and restarting containers too."""
    return status in (Status.RUNNING, Status.PAUSED, Status.RESTARTING)


def state(record: ContainerRecord) -> ContainerState:
    """State of `docker inspect`."""
    status = record.status
    return ContainerState(
        status=str(status),
        running=is_running(status),
        paused=status is Status.PAUSED,
        restarting=status is Status.RESTARTING,
        oom_killed=record.oom_killed,
        dead=status is Status.DEAD,
        pid=record.pid if has_process(status) else 0,
        exit_code=record.exit_code,
        error=record.error,
        started_at=clock.rfc3339(record.started_at),
        finished_at=clock.rfc3339(record.finished_at),
        health=health(record.health),
    )


def health(state_: HealthState | None) -> Health | None:
    """Health of `docker inspect`; None where no check is configured."""
    if state_ is None:
        return None
    probes = [
        HealthcheckResult(
            start=clock.rfc3339(probe.started_at),
            end=clock.rfc3339(probe.ended_at),
            exit_code=probe.exit_code,
            output=probe.output,
        )
        for probe in state_.log
    ]
    return Health(status=state_.status, failing_streak=state_.failing_streak, log=probes)


def _age(nanoseconds: int) -> str:
    return age.words(nanoseconds / clock.SECOND)


def text(record: ContainerRecord, instant: int | None = None) -> str:
    """The STATUS column of `docker ps`: "Up 3 minutes (healthy)", "Exited (0) 2 hours ago"."""
    moment = clock.now() if instant is None else instant
    match record.status:
        case Status.RUNNING:
            return f"Up {_age(moment - record.started_at)}{_health_text(record)}"
        case Status.PAUSED:
            return f"Up {_age(moment - record.started_at)} (Paused)"
        case Status.RESTARTING:
            return f"Restarting ({record.exit_code}) {_age(moment - record.finished_at)} ago"
        case Status.EXITED:
            return f"Exited ({record.exit_code}) {_age(moment - record.finished_at)} ago"
        case Status.REMOVING:
            return "Removal In Progress"
        case Status.DEAD:
            return "Dead"
        case Status.CREATED:
            return "Created"


def _health_text(record: ContainerRecord) -> str:
    if record.health is None:
        return ""
    if record.health.status == "starting":
        return " (health: starting)"
    return f" ({record.health.status})"
