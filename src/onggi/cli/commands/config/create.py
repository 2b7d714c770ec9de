"""Create a config from a file or stdin."""

from __future__ import annotations

from onggi.cli import secrets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONFIG file|-"
ARGUMENTS = (2, 2)
FLAGS = (
    ("label", "l", "list:label", None, "Attach a label"),
    ("template-driver", "", "string", "", "Driver of templates"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    return secrets.create(session, "configs", flags, args)
