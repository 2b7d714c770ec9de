"""Open a shell in the file system that a failed build step left."""

from __future__ import annotations

from onggi.cli.building import agents, failed, secrets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "ID"
ARGUMENTS = (1, 1)
FLAGS = (secrets.FLAG, agents.FLAG)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    failed.need_terminal("builder shell")
    build_id = agents.offered(session, flags["ssh"], secrets.offered(session, flags["secret"]))
    failed.shell(session, args[0], build_id)
    return 0
