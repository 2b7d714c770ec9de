"""onggi-runtime resume ID: thaw the container's cgroup."""

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
    _, container_id = line.one_container("resume", OPTIONS, words)
    container = state.load(runtime.root, container_id)
    if container.status() != state.PAUSED:
        raise Conflict("container not paused")
    container.cgroup().thaw()
    return 0
