"""Run a pull-through cache of registries: the words go to onggi.daemon.registry_cache as they stand."""

from __future__ import annotations

from onggi.cli import interpreter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "[OPTIONS]"
ARGUMENTS = (0, None)
FLAGS = ()
VERBATIM = True


def run(session: Session, flags: Flags, args: list[str]) -> int:
    interpreter.become_daemon(args, "onggi.daemon.registry_cache", "onggi registry cache")
    return 0
