"""Starting the engine's process: which interpreter, with which path.

The command runs as `python -IS`; the engine wants the libraries of the same interpreter, so it is started
with -I alone, and gets what the launcher put on the path as well.
"""

from __future__ import annotations

import os
import sys


def daemon_command(words: list[str]) -> list[str]:
    """argv that runs onggi.daemon with `words`."""
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    program = (
        f"import sys; sys.path[1:1] = [{source!r}]; "
        f"sys.path += [path for path in {sys.path!r} if path not in sys.path]; sys.argv[0] = 'onggi daemon'; "
        "from onggi.daemon import main; sys.exit(main(sys.argv[1:]))"
    )
    return [sys.executable, "-I", "-c", program, *words]


def become_daemon(words: list[str]) -> None:
    """Replace this process by the engine."""
    command = daemon_command(words)
    sys.stdout.flush()
    os.execv(command[0], command)
