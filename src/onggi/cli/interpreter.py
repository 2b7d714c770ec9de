"""Starting the engine's process: which interpreter, with which path.

The command runs as `python -IS`; the engine wants the libraries of the same interpreter, so it is started
with -I alone. What the launcher put on the path comes first: the engine has its own libraries, not the
older ones of the same names that a distribution keeps for the interpreter.
"""

from __future__ import annotations

import os
import sys

ENGINE = "onggi.daemon.process"
ROOTLESS = "onggi.daemon.rootless.parent"


def engine_module() -> str:
    """Who begins an engine's life: of an ordinary user the process that makes him namespaces first."""
    return ENGINE if os.geteuid() == 0 else ROOTLESS


def daemon_command(words: list[str], module: str = ENGINE, name: str = "onggi daemon") -> list[str]:
    """argv that runs `main` of a module of the engine's with `words`."""
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = sys.path if source in sys.path else [source, *sys.path]
    program = (
        f"import sys; first = {path!r}; "
        "sys.path[:] = first + [path for path in sys.path if path not in first]; "
        f"sys.argv[0] = {name!r}; "
        f"from {module} import main; sys.exit(main(sys.argv[1:]))"
    )
    return [sys.executable, "-I", "-c", program, *words]


def become_daemon(words: list[str], module: str = ENGINE, name: str = "onggi daemon") -> None:
    """Replace this process by the engine, or another program of its libraries."""
    command = daemon_command(words, module, name)
    sys.stdout.flush()
    os.execv(command[0], command)
