"""Push a plugin to a registry."""

from __future__ import annotations

from onggi.cli import credentials, progress, reference, trust
from onggi.cli.errors import CommandError
from onggi.cli.http import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "PLUGIN[:TAG]"
ARGUMENTS = (1, 1)
FLAGS = (trust.FLAG,)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    trust.refuse(flags)
    reference.check(args[0])
    if "@" in args[0]:
        raise CommandError(f"invalid name: {args[0]}")
    name = reference.familiar(args[0])
    headers = {"X-Registry-Auth": credentials.header(session, name)}
    response = session.engine.open("POST", f"/plugins/{quote(name)}/push", headers=headers)
    progress.show(session.engine.messages(response))
    session.engine.keep(response)
    return 0
