"""Starting an engine where none answers: once for two commands, and with the log's end where it fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.root
SRC = Path(__file__).parents[3] / "src"
ENGINE = """
import os, socket, sys
path = sys.argv[1]
open(os.path.dirname(path) + "/starts", "a").write("%d\\n" % os.getpid())
listener = socket.socket(socket.AF_UNIX); listener.bind(path); listener.listen()
while True:
    peer, _ = listener.accept()
    try:
        peer.recv(4096); peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nOK"); peer.close()
    except OSError:
        pass
"""
START = """
import sys
sys.path.insert(0, {src!r})
from onggi.cli import autostart, interpreter
from onggi.cli.errors import CommandError
interpreter.daemon_command = lambda *words: [sys.executable, "-c", {engine!r}, {path!r}]
try:
    autostart.start({path!r})
except CommandError as error:
    sys.exit(error.message)
"""


def start(path: str, engine: str) -> subprocess.Popen[str]:
    program = START.format(src=str(SRC), engine=engine, path=path)
    return subprocess.Popen([sys.executable, "-IS", "-c", program], stderr=subprocess.PIPE, text=True)


def test_two_commands_start_one_engine(tmp_path: Path) -> None:
    path = str(tmp_path / "run" / "onggi.sock")
    commands = [start(path, ENGINE) for _ in range(2)]
    said = [command.communicate(timeout=60)[1] for command in commands]
    pids = [int(line) for line in (tmp_path / "run" / "starts").read_text().split()]
    try:
        assert [command.returncode for command in commands] == [0, 0]
        assert len(pids) == 1
        assert os.getsid(pids[0]) == pids[0]
        assert sorted(said) == [
            "",
            f"onggi: started the engine (pid {pids[0]}); stop it with: kill {pids[0]}\n",
        ]
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def test_an_engine_that_does_not_start_is_explained(tmp_path: Path) -> None:
    command = start(str(tmp_path / "run" / "onggi.sock"), "raise SystemExit('no such disk')")
    said = command.communicate(timeout=60)[1]
    assert command.returncode == 1
    assert "the engine did not start" in said
    assert said.endswith("no such disk\n")
