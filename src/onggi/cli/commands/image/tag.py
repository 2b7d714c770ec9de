"""Give an image another name."""

from __future__ import annotations

from onggi.cli import reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]"
ARGUMENTS = (2, 2)
FLAGS = ()


def run(session: Session, flags: Flags, args: list[str]) -> int:
    reference.check_target(args[1])
    name, tag = reference.split(args[1])
    session.engine.post(f"/images/{args[0]}/tag", repo=name, tag=tag or "latest")
    return 0
