"""Create a secret from a file or stdin."""

from __future__ import annotations

from onggi.cli import secrets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "SECRET [file|-]"
ARGUMENTS = (1, 2)
FLAGS = (
    ("driver", "d", "string", "", "Driver of the secret"),
    ("label", "l", "list:label", None, "Attach a label"),
    ("template-driver", "", "string", "", "Driver of templates"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    return secrets.create(session, "secrets", flags, args)
