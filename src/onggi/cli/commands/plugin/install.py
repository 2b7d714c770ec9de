"""Pull a plugin from a registry and enable it; ask before it gets the privileges that it wants."""

from __future__ import annotations

from onggi.cli import credentials, progress, reference, trust
from onggi.cli.errors import CommandError
from onggi.cli.http import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "PLUGIN [KEY=VALUE...]"
ARGUMENTS = (1, None)
GRANT = ("grant-all-permissions", "", "bool", False, "Do not ask about the plugin's privileges")
FLAGS = (
    ("alias", "", "string", "", "The plugin's name here"),
    ("disable", "", "bool", False, "Do not enable it"),
    trust.FLAG,
    GRANT,
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    trust.refuse(flags)
    remote, settings = args[0], args[1:]
    reference.check(remote)
    alias = flags["alias"]
    if alias:
        reference.check(alias)
        if "@" in alias:
            raise CommandError(f"invalid name: {alias}")
        alias = reference.familiar(alias)
    name = alias or reference.familiar(remote)
    pull(session, "/plugins/pull", remote, {"name": alias or None}, granted=flags["grant-all-permissions"])
    if settings:
        session.engine.post(f"/plugins/{quote(name)}/set", settings)
    if not flags["disable"]:
        session.engine.post(f"/plugins/{quote(name)}/enable", timeout=0)
    session.out(f"Installed plugin {remote}")
    return 0


def pull(session: Session, path: str, remote: str, more: dict[str, Any], *, granted: bool) -> None:
    """Ask for the privileges, then have it pulled. Raises Refused, CommandError."""
    headers = {"X-Registry-Auth": credentials.header(session, remote)}
    asked = session.engine.open("GET", "/plugins/privileges", {"remote": remote}, headers=headers)
    privileges = next(iter(session.engine.messages(asked)), None) or []
    session.engine.keep(asked)
    if privileges and not granted:
        session.out(f'Plugin "{remote}" is requesting the following privileges:')
        for wanted in privileges:
            session.out(f" - {wanted['Name']}: [{' '.join(wanted.get('Value') or [])}]")
        if not session.confirm("Do you grant the above permissions?"):
            raise CommandError(f"permission denied while installing plugin {remote}")
    response = session.engine.open("POST", path, {"remote": remote, **more}, privileges, headers)
    progress.show(session.engine.messages(response))
    session.engine.keep(response)
