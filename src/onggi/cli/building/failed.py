"""A step that failed: a shell in what it left, on this terminal.

The engine has the step's environment, mounts and network; secrets of an earlier build are handed over again.
"""

from __future__ import annotations

import os

from onggi.cli import streams
from onggi.cli.attached import Attached
from onggi.cli.errors import CommandError, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.session import Session


def need_terminal(what: str) -> None:
    """Raises CommandError."""
    if not os.isatty(0) or not os.isatty(1):
        raise CommandError(f"{what}: a shell needs a terminal: standard input and output are none")


def shell(session: Session, name: str, build_id: str | None = None) -> None:
    """To its end; what it ends with is nobody's failure. Raises Refused, CommandError."""
    size = streams.terminal_size() or (0, 0)
    place = f"build/failed/{name}/shell"
    asked: dict[str, Any] = {"buildid": build_id, "h": size[0], "w": size[1]}
    sock, early, _ = session.engine.hijack(f"/{place}", asked)
    Attached(session.engine, place, tty=True, stdin=True, keys=b"").run(sock, early)


def on_failure(session: Session, kept: dict[str, Any]) -> None:
    """While the build waits for it. What is wrong with the shell is said: the build's failure follows."""
    os.write(2, b"A shell in the file system of the failed step; the build ends with it.\n")
    try:
        shell(session, kept["ID"])
    except Refused as error:
        os.write(2, f"no shell: {error.reason}\n".encode())
