"""Show everything about the context."""

from __future__ import annotations

from onggi import jsontext
from onggi.cli import inspection
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "[CONTEXT] [CONTEXT...]"
ARGUMENTS = (0, None)
FLAGS = (("format", "f", "string", "", "How to print: json, or a Go template"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    def find(name: str) -> str:
        if name != "default":
            raise CommandError(f'context "{name}" does not exist')
        return jsontext.dumps({
            "Name": "default",
            "Metadata": {},
            "Endpoints": {"docker": {"Host": session.address().url, "SkipTLSVerify": False}},
            "TLSMaterial": {},
            "Storage": {"MetadataPath": "<IN MEMORY>", "TLSPath": "<IN MEMORY>"},
        }).replace("<", "\\u003c").replace(">", "\\u003e")  # fmt: skip

    return inspection.show(session, args or ["default"], flags["format"], find)
