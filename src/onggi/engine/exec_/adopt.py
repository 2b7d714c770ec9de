"""After a restart of the engine: the execs that the shims know are ours again.

The shim keeps each request as a note beside the process, and the exit codes of the last that ended: so
inspect and wait find what an earlier engine started. Instances that were only created are forgotten, as
dockerd's are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from onggi.engine import clock
from onggi.engine.exec_.start import watch
from onggi.engine.exec_.table import KEPT_NS, Exec
from onggi.wire.containers import ExecCreateRequest

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine
    from onggi.engine.shims import ExecFacts, Shim, ShimState


def adopt(engine: Engine, container: Container, shim: Shim, state: ShimState) -> None:
    """Take up every exec of a container that runs on. Call it with a state that was just asked for."""
    for facts in state.execs:
        instance = _instance(engine, container, facts)
        instance.shim = shim
        watch(engine, instance, facts.pid, shim.adopt(facts.exec_id))
    for facts in state.ended_execs:
        if facts.finished_at > clock.now() - KEPT_NS:
            instance = _instance(engine, container, facts)
            instance.started, instance.pid = True, facts.pid
            instance.exit_code, instance.ended_at = facts.exit_code, facts.finished_at


def _instance(engine: Engine, container: Container, facts: ExecFacts) -> Exec:
    request = msgspec.json.decode(facts.note, type=ExecCreateRequest)
    instance = Exec(facts.exec_id, container, request)
    engine.execs.add(instance)
    return instance
