"""onggi-runtime pause ID: freeze the container's cgroup."""

from __future__ import annotations

from onggi.errors import Conflict
from onggi.runtime import state
from onggi.runtime.options import Option
from onggi.runtime.verbs import line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.runtime.command import Runtime

OPTIONS: dict[str, Option] = {}


def run(runtime: Runtime, words: list[str]) -> int:
    _, container_id = line.one_container("pause", OPTIONS, words)
    container = state.load(runtime.root, container_id)
    if container.status() not in (state.RUNNING, state.CREATED):
        raise Conflict("container not running or created")
    container.cgroup().freeze()
    return 0
