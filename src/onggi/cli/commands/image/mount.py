"""Mount images for this machine's programs, or list those that are mounted."""

from __future__ import annotations

from onggi.cli import http, human, table
from onggi.cli.commands import each
from onggi.cli.platforms import platform_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "[IMAGE...]"
ARGUMENTS = (0, None)
FLAGS = (("platform", "", "string", "", "Only this platform, such as linux/arm64"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    platform = platform_json(flags["platform"])
    if not args:
        rows = [["IMAGE", "ID", "USES", "PATH"]]
        for item in session.engine.get("/images/mounts"):
            names = item["RepoTags"] or ["<none>"]
            rows.append([names[0], human.short_id(item["Id"]), str(item["Uses"]), item["Path"]])
        session.out("\n".join(line.rstrip() for line in table.align(rows)))
        return 0

    def mount(name: str) -> None:
        query = http.query({"platform": platform})
        session.out(session.engine.post(f"/images/{name}/mount{query}")["Path"])

    return each.run(session, args, mount, show=False)
