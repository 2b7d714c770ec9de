"""Stop containers, politely first."""

from __future__ import annotations

from onggi.cli.commands import each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER [CONTAINER...]"
ARGUMENTS = (1, None)
FLAGS = (
    ("signal", "s", "string", "", "Signal to send"),
    ("time", "", "alias:timeout", None, ""),
    ("timeout", "t", "int", 0, "Seconds to wait before it is killed"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    timeout = flags["timeout"] if "timeout" in flags.given else None
    signal = flags["signal"] or None

    def stop(name: str) -> None:
        session.engine.post(f"/containers/{name}/stop", t=timeout, signal=signal)

    return each.run(session, args, stop)
