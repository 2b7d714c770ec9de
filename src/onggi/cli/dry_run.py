"""`--dry-run` of a prune: what would go. Onggi's own.

Another engine would not know the parameter, and remove: so a prune that fits nothing is asked first, and its
answer has to say that it was a dry run.
"""

from __future__ import annotations

from onggi.cli.engine import filters
from onggi.cli.errors import CommandError, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.session import Session

ROW = ("dry-run", "", "bool", False, "Show what would go and remove nothing")
_NOTHING = "label=onggi.dry-run.nothing-has-this"


def ask(session: Session, path: str, wanted: list[str], mark: str = "DryRun") -> dict[str, Any]:
    """The answer of a prune that removes nothing. Raises CommandError where the engine has none."""
    probe = [_NOTHING, *(word for word in wanted if word.startswith("dangling="))]
    if mark not in session.engine.post(path, filters=filters(probe), **{"dry-run": True}):
        raise CommandError(_lacking(path))
    answer: dict[str, Any] = session.engine.post(path, filters=filters(wanted), **{"dry-run": True})
    return answer


def plan(session: Session, path: str, **parameters: Any) -> Any:
    """The answer of the GET of a prune, which other engines do not have. Raises CommandError there."""
    try:
        return session.engine.get(path, **parameters)
    except Refused as error:
        if error.code in (404, 405):
            raise CommandError(_lacking(path)) from None
        raise


def _lacking(path: str) -> str:
    return "--dry-run: this engine has no dry run of " + path.strip("/").replace("/", " ")
