"""The engine's process has the launcher's libraries, whatever the distribution keeps for the interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from onggi.cli import interpreter


def test_the_launchers_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    command = interpreter.daemon_command([])
    program = command[command.index("-c") + 1].replace(
        "from onggi.daemon.process import main", "main = print"
    )
    program = program.replace("main(sys.argv[1:])", "print(sys.path)")
    ended = subprocess.run([*command[:-1], program], capture_output=True, text=True, check=True, timeout=60)
    path = eval(ended.stdout)
    assert path[: len(sys.path)] == sys.path
