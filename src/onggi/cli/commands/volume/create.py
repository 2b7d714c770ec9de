"""Create a volume."""

from __future__ import annotations

from onggi.cli.errors import CommandError
from onggi.cli.options import cluster_volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "[VOLUME]"
ARGUMENTS = (0, 1)
FLAGS = tuple(sorted((
    *cluster_volume.FLAGS,
    ("driver", "d", "string", "local", "Driver of the volume"),
    ("label", "", "list:label", None, "Attach a label"),
    ("name", "", "string", "", ""),
    ("opt", "o", "map", "map[]", "Option of the driver"),
)))  # fmt: skip


def run(session: Session, flags: Flags, args: list[str]) -> int:
    if args and flags["name"]:
        raise CommandError(
            "conflicting options: cannot specify a volume-name through both --name and as a positional arg"
        )
    labels = dict(word.partition("=")[::2] for word in flags["label"])
    body = {"Driver": flags["driver"], "DriverOpts": dict(flags["opt"]), "Labels": labels}
    spec = cluster_volume.specification(flags)
    if spec is not None:
        body["ClusterVolumeSpec"] = spec
    body["Name"] = args[0] if args else flags["name"]
    session.out(session.engine.post("/volumes/create", body)["Name"])
    return 0
