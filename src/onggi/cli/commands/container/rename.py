"""Give a container another name."""

from __future__ import annotations

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER NEW_NAME"
ARGUMENTS = (2, 2)
FLAGS = ()


def run(session: Session, flags: Flags, args: list[str]) -> int:
    old, new = args[0].strip(), args[1].strip()
    if not old or not new:
        raise CommandError("Error: Neither old nor new names may be empty")
    try:
        session.engine.post(f"/containers/{old}/rename", name=new)
    except CommandError as error:
        session.err(error.message)
        raise CommandError(f"Error: failed to rename container named {old}") from None
    return 0
