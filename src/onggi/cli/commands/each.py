"""The same call for every name of a command line: good names are printed, failures come last."""

from __future__ import annotations

from onggi.cli.errors import FAILED, CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onggi.cli.session import Session


def run(session: Session, names: Sequence[str], call: Callable[[str], object], *, show: bool = True) -> int:
    """0 where all went well, else 1."""
    failures = []
    for name in names:
        try:
            call(name)
        except CommandError as error:
            failures.append(error.message)
        else:
            if show:
                session.out(name)
    for message in failures:
        session.err(message)
    return FAILED if failures else 0
