"""The file that holds the engine's pid while it runs."""

from __future__ import annotations

import os

from onggi.errors import Conflict


def write(path: str) -> None:
    """Write our pid. Raises Conflict when the file names another living engine."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read().strip()
    except FileNotFoundError:
        text = ""
    if text.isdigit() and int(text) != os.getpid() and _is_an_engine(int(text)):
        raise Conflict(f"process with PID {text} is still running: {path}")
    os.makedirs(os.path.dirname(path) or "/", mode=0o711, exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")


def _is_an_engine(pid: int) -> bool:
    """A pid is used again after a crash: only a process that runs onggi counts."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"onggi" in file.read()
    except OSError:
        return False


def remove(path: str) -> None:
    """Remove it, if it is still ours."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            ours = file.read().strip() == str(os.getpid())
    except FileNotFoundError:
        return
    if ours:
        os.unlink(path)
