"""Show everything about one or more contexts."""

from __future__ import annotations

from onggi import jsontext
from onggi.cli import contexts, inspection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "[CONTEXT] [CONTEXT...]"
ARGUMENTS = (0, None)
FLAGS = (("format", "f", "string", "", "How to print: json, or a Go template"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    def find(name: str) -> str:
        document = _default(session) if name == contexts.DEFAULT else _kept(session, name)
        return jsontext.dumps(document).replace("<", "\\u003c").replace(">", "\\u003e")

    return inspection.show(session, args or [session.context_name()], flags["format"], find)


def _default(session: Session) -> dict[str, Any]:
    return {
        "Name": contexts.DEFAULT,
        "Metadata": {},
        "Endpoints": {"docker": {"Host": session.default_address().url, "SkipTLSVerify": False}},
        "TLSMaterial": {},
        "Storage": {"MetadataPath": "<IN MEMORY>", "TLSPath": "<IN MEMORY>"},
    }


def _kept(session: Session, name: str) -> dict[str, Any]:
    directory = session.config_dir()
    context = contexts.read(directory, name)
    files = [contexts.TLS_FILES[kind] for kind in sorted(context.tls)]
    storage = {
        "MetadataPath": contexts.meta_dir(directory, name),
        "TLSPath": contexts.tls_dir(directory, name),
    }
    material = {"docker": files} if files else {}
    return {**context.document(), "TLSMaterial": material, "Storage": storage}
