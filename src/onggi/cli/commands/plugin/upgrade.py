"""Replace a disabled plugin by what a registry has now."""

from __future__ import annotations

from onggi.cli import reference, trust
from onggi.cli.commands.plugin.install import GRANT, pull
from onggi.cli.errors import CommandError, Refused
from onggi.cli.http import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "PLUGIN [REMOTE]"
ARGUMENTS = (1, 2)
FLAGS = (
    trust.FLAG,
    GRANT,
    ("skip-remote-check", "", "bool", False, "Do not ask where the new image has another name"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    trust.refuse(flags)
    try:
        found = session.engine.get(f"/plugins/{quote(args[0])}/json")
    except Refused as error:
        raise CommandError(f"error reading plugin data: {error.message}") from None
    if found.get("Enabled"):
        raise CommandError("the plugin must be disabled before upgrading")
    name, old = found["Name"], found.get("PluginReference") or ""
    remote = args[1] if len(args) > 1 else old
    reference.check(remote)
    session.out(f"Upgrading plugin {name} from {reference.familiar(old)} to {reference.familiar(remote)}")
    asks = reference.full(remote) != reference.full(old) and not flags["skip-remote-check"]
    if asks and not session.confirm("Plugin images do not match, are you sure?"):
        raise CommandError("plugin upgrade has been cancelled")
    pull(session, f"/plugins/{quote(name)}/upgrade", remote, {}, granted=flags["grant-all-permissions"])
    session.out(f"Upgraded plugin {name} to {remote}")
    return 0
