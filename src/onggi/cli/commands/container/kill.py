"""Send a signal to running containers, SIGKILL by default."""

from __future__ import annotations

from onggi.cli.commands import each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER [CONTAINER...]"
ARGUMENTS = (1, None)
FLAGS = (("signal", "s", "string", "", "Signal to send"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    signal = flags["signal"] or None
    return each.run(
        session, args, lambda name: session.engine.post(f"/containers/{name}/kill", signal=signal)
    )
