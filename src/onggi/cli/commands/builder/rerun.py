"""Run a build step that failed once more, on what it stood on."""

from __future__ import annotations

from onggi.cli.building import agents, progress, secrets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "ID"
ARGUMENTS = (1, 1)
FLAGS = (
    progress.FLAG,
    secrets.FLAG,
    agents.FLAG,
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    kind = progress.kind(flags["progress"])
    build_id = agents.offered(session, flags["ssh"], secrets.offered(session, flags["secret"]))
    with progress.Shown(kind) as shown:
        response = session.engine.open("POST", f"/build/failed/{args[0]}/rerun", {"buildid": build_id})
        shown.follow(session.engine.messages(response))
    return 0
