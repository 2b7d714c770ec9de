"""Remove one or more local manifest lists."""

from __future__ import annotations

from onggi.cli import manifest_lists
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "MANIFEST_LIST [MANIFEST_LIST...]"
ARGUMENTS = (1, None)
FLAGS = ()


def run(session: Session, flags: Flags, args: list[str]) -> int:
    failures = []
    for text in args:
        try:
            listed = manifest_lists.parse(text)
            manifest_lists.members(session, listed)
            manifest_lists.remove(session, listed)
        except CommandError as error:
            failures.append(error.message)
    if failures:
        raise CommandError("\n".join(failures))
    return 0
