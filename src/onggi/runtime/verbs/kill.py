"""onggi-runtime kill ID [SIGNAL]: a signal to init, or to every process of the container."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the signal module loads enum: 6 ms

from onggi.errors import Conflict, InvalidParameter
from onggi.kernel import processes
from onggi.runtime import state
from onggi.runtime.options import Option
from onggi.runtime.verbs import line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.runtime.command import Runtime

OPTIONS = {"all": Option(None, "send the signal to all processes of the container", short="a")}
SIGKILL = 9


def run(runtime: Runtime, words: list[str]) -> int:
    options, rest = line.split("kill", OPTIONS, words, "[options] ID [SIGNAL]", 1, 2)
    number = signal_number(rest[1] if len(rest) > 1 else "SIGTERM")
    container = state.load(runtime.root, rest[0])
    status = container.status()
    if options["all"]:
        container.cgroup().kill(number)
        return 0
    if status == state.STOPPED:
        raise Conflict("container not running")
    send(container, number)
    if status == state.PAUSED and number == SIGKILL:
        container.cgroup().thaw()  # v1: a frozen process does not die of it
    return 0


def send(container: state.Container, number: int) -> None:
    """Signal init itself: through a pidfd, so that a recycled pid is never hit."""
    import os

    try:
        pidfd = processes.pidfd_open(container.pid)
    except ProcessLookupError:
        raise Conflict("container not running") from None
    try:
        if not container.alive():
            raise Conflict("container not running")
        processes.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        raise Conflict("container not running") from None
    finally:
        os.close(pidfd)


def signal_number(text: str) -> int:
    """9, KILL, SIGKILL, SIGRTMIN+3."""
    if text.isdigit():
        number = int(text)
        if not 0 < number <= 64:
            raise InvalidParameter(f'unknown signal "{text}"')
        return number
    name, plus, offset = text.upper().removeprefix("SIG").partition("+")
    found = getattr(_signal, f"SIG{name}", None) if name.isalnum() else None
    if not isinstance(found, int) or (plus and not offset.isdigit()):
        raise InvalidParameter(f'unknown signal "{text}"')
    return found + int(offset or 0)
