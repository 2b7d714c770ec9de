"""Run the engine in the foreground: the words go to onggi.daemon as they stand.

The launcher runs without site-packages (-S); the engine needs its libraries, so the interpreter is started
anew.
"""

from __future__ import annotations

from onggi.cli import interpreter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "[DAEMON OPTIONS]"
ARGUMENTS = (0, None)
FLAGS = ()
VERBATIM = True


def run(session: Session, flags: Flags, args: list[str]) -> int:
    hosts = [word for host in session.options["host"] for word in ("-H", host)]
    interpreter.become_daemon([*hosts, *args], interpreter.engine_module())
    return 0
