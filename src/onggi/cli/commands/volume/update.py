"""Change a volume of a cluster; every other volume is refused, as by Docker's client."""

from __future__ import annotations

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "VOLUME"
ARGUMENTS = (1, 1)
FLAGS = (
    ("availability", "", "string", "active", 'Whether a cluster may use it ("active", "pause", "drain")'),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    found = session.engine.get(f"/volumes/{args[0]}")
    spec = found.get("ClusterVolume", {}).get("Spec")
    if spec is None:
        raise CommandError("can only update cluster volumes")
    if "availability" in flags.given:
        spec["Availability"] = flags["availability"]
    version = found["ClusterVolume"]["Version"]["Index"]
    target = f"/volumes/{found['ClusterVolume']['ID']}"
    session.engine.call("PUT", target, {"version": version}, {"Spec": spec})
    return 0
