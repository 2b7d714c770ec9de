"""onggi-runtime delete ID: cgroups removed, poststop hooks run, the state forgotten.

Commit point: the state directory's removal, last; a delete that was cut off can be run again.
"""

from __future__ import annotations

import os

from onggi.errors import Conflict, NotFound
from onggi.runtime import state
from onggi.runtime.options import Option
from onggi.runtime.verbs import kill, line
from onggi.spawn import launch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.runtime.command import Runtime

OPTIONS = {"force": Option(None, "kill the container first; one that does not exist is no error", short="f")}
SIGKILL = 9


def run(runtime: Runtime, words: list[str]) -> int:
    options, container_id = line.one_container("delete", OPTIONS, words)
    try:
        container = state.load(runtime.root, container_id)
    except NotFound:
        if options["force"]:
            _forget_unfinished(runtime.root, container_id)
            return 0
        raise
    status = container.status()
    if status not in (state.STOPPED, state.CREATED) and not options["force"]:
        raise Conflict(f"cannot delete container {container_id} that is not stopped: {status}")
    with state.Lock(container.directory):
        if status != state.STOPPED:
            end(container)
        for failure in remove(container):
            runtime.log("warning", failure)
    return 0


def end(container: state.Container) -> None:
    """Kill init and what it left behind."""
    try:
        kill.send(container, SIGKILL)
    except Conflict:
        pass  # it ended by itself
    container.cgroup().kill()


def remove(container: state.Container) -> list[str]:
    """Everything but the kill; what failed of the undo steps, as text."""
    group = container.cgroup()
    if not group.empty(0.0):
        group.kill()  # processes of a shared pid namespace outlive init
        group.empty()
    group.remove()
    failures = launch.finish(container.plan, container.pid)
    container.forget()
    return failures


def _forget_unfinished(root: str, container_id: str) -> None:
    """A create that was killed leaves a directory without a record."""
    directory = f"{root}/{state.checked(container_id)}"
    if os.path.isdir(directory):
        state.Container(root, container_id, {}, {}).forget()
