"""onggi-runtime state ID: the OCI state document."""

from __future__ import annotations

import sys

from onggi.jsontext import dumps
from onggi.runtime import state
from onggi.runtime.options import Option
from onggi.runtime.verbs.line import one_container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.runtime.command import Runtime

OPTIONS: dict[str, Option] = {}


def run(runtime: Runtime, words: list[str]) -> int:
    _, container_id = one_container("state", OPTIONS, words)
    sys.stdout.write(dumps(state.load(runtime.root, container_id).state()) + "\n")
    return 0
