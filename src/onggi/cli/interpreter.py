"""Starting the engine's process: which interpreter, with which path.

The command runs as `python -IS`; the engine wants the libraries of the same interpreter, so it is started
with -I alone. What the launcher put on the path comes first: the engine has its own libraries, not the
older ones of the same names that a distribution keeps for the interpreter.
"""

from __future__ import annotations

import os
import sys


def daemon_command(words: list[str]) -> list[str]:
    """argv that runs onggi.daemon with `words`."""
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = sys.path if source in sys.path else [source, *sys.path]
    program = (
        f"import sys; first = {path!r}; "
        "sys.path[:] = first + [path for path in sys.path if path not in first]; "
        "sys.argv[0] = 'onggi daemon'; "
        "from onggi.daemon import main; sys.exit(main(sys.argv[1:]))"
    )
    return [sys.executable, "-I", "-c", program, *words]


def become_daemon(words: list[str]) -> None:
    """Replace this process by the engine."""
    command = daemon_command(words)
    sys.stdout.flush()
    os.execv(command[0], command)
