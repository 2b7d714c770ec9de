"""List configs."""

from __future__ import annotations

from onggi.cli import secrets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = secrets.LIST_FLAGS


def run(session: Session, flags: Flags, args: list[str]) -> int:
    return secrets.list_(session, "configs", flags)
