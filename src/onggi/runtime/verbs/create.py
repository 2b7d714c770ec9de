"""onggi-runtime create ID: everything but the execve of the container's process."""

from __future__ import annotations

from onggi.runtime import beginning
from onggi.runtime.verbs import line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.runtime.command import Runtime

OPTIONS = beginning.OPTIONS


def run(runtime: Runtime, words: list[str]) -> int:
    options, container_id = line.one_container("create", OPTIONS, words)
    beginning.begin(runtime, container_id, options, wait=True)
    return 0
