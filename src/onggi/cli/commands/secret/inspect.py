"""Show everything about secrets."""

from __future__ import annotations

from onggi.cli import secrets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "SECRET [SECRET...]"
ARGUMENTS = (1, None)
FLAGS = secrets.INSPECT_FLAGS


def run(session: Session, flags: Flags, args: list[str]) -> int:
    return secrets.inspect(session, "secrets", flags, args)
