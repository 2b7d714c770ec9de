"""Remove one or more contexts."""

from __future__ import annotations

from onggi.cli import config_file, contexts
from onggi.cli.commands import each
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTEXT [CONTEXT...]"
ARGUMENTS = (1, None)
FLAGS = (
    (
        "force",
        "f",
        "bool",
        False,
        "Remove the context in use too, and say nothing of one that does not exist",
    ),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    directory = session.config_dir()
    current = session.context_name()

    def remove(name: str) -> None:
        if name == contexts.DEFAULT:
            raise CommandError('context "default" cannot be removed')
        if not contexts.exists(directory, name) and not flags["force"]:
            raise CommandError(f'context "{name}" does not exist')
        if name == current:
            if not flags["force"]:
                raise CommandError(f'context "{name}" is in use, set -f flag to force remove')
            config_file.set_key(directory, "currentContext", "")
        contexts.remove(directory, name)

    return each.run(session, args, remove)
