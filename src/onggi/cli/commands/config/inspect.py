"""Show everything about configs."""

from __future__ import annotations

from onggi.cli import secrets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONFIG [CONFIG...]"
ARGUMENTS = (1, None)
FLAGS = secrets.INSPECT_FLAGS


def run(session: Session, flags: Flags, args: list[str]) -> int:
    return secrets.inspect(session, "configs", flags, args)
