"""What only an engine of ours does with a build: refused before it begins where the engine is another's."""

from __future__ import annotations

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.session import Session

NAME = "Onggi"  # Platform.Name of GET /version


def need(session: Session, what: str) -> None:
    """Raises CommandError."""
    platform = (session.engine.get("/version").get("Platform") or {}).get("Name")
    if platform != NAME:
        raise CommandError(f"{what}: only an Onggi engine does this, not {platform or 'this one'}")
