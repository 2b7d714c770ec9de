"""Save images to a tar archive."""

from __future__ import annotations

from onggi.cli import archive_file
from onggi.cli.platforms import platform_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "IMAGE [IMAGE...]"
ARGUMENTS = (1, None)
FLAGS = (
    ("output", "o", "string", "", "Write to a file instead of stdout"),
    ("platform", "", "string", "", "Only this platform, such as linux/arm64"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    archive_file.check_output(flags["output"], "failed to save image")
    parameters = {"names": args, "platform": platform_json(flags["platform"])}
    response = session.engine.open("GET", "/images/get", parameters)
    archive_file.write(response, flags["output"])
    return 0
