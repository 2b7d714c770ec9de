"""Log out of a registry: forget its credentials."""

from __future__ import annotations

from onggi.cli import credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "[SERVER]"
ARGUMENTS = (0, 1)
FLAGS = ()


def run(session: Session, flags: Flags, args: list[str]) -> int:
    key = credentials.server(args[0] if args else "")
    known = credentials.erase(session, key)
    session.out(f"Removing login credentials for {key}" if known else f"Not logged in to {key}")
    return 0
