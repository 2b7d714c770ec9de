"""Build a base image of a distribution on the engine's machine, without any registry.

POST /images/bootstrap?distribution=debian:bookworm; the answer is a stream of progress messages. Onggi's
own: other engines answer "page not found".
"""

from __future__ import annotations

from onggi.cli import progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "DISTRIBUTION[:RELEASE]"
ARGUMENTS = (1, 1)
FLAGS = (("quiet", "q", "bool", False, "Do not show the progress"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    response = session.engine.open("POST", "/images/bootstrap", {"distribution": args[0]})
    progress.show(session.engine.messages(response), quiet=flags["quiet"])
    return 0
