"""Start an engine in the background, where none answers at the default place.

Owns `<exec root>/onggi.start.lock` while it works: of two commands the second finds the first one's engine.
The log is `<exec root>/onggi.log`. An ordinary user's engine is rootless, in directories of his own.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time

from onggi.cli import http, interpreter
from onggi.cli.errors import CommandError

_PATIENCE_S = 20.0


def start(socket_path: str) -> None:
    """Return when the engine at `socket_path` answers. Raises CommandError with the log's end where it
    does not.
    """
    exec_root = os.path.dirname(socket_path)
    os.makedirs(exec_root, mode=0o711 if os.getuid() == 0 else 0o700, exist_ok=True)
    lock_fd = os.open(f"{exec_root}/onggi.start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX)
        if not _answers(socket_path):
            _start_locked(socket_path, f"{exec_root}/onggi.log")
    finally:
        os.close(lock_fd)


def _start_locked(socket_path: str, log_path: str) -> None:
    log_fd = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        pid = _spawn(interpreter.daemon_command([], interpreter.engine_module()), log_fd)
    finally:
        os.close(log_fd)
    deadline = time.monotonic() + _PATIENCE_S
    while not _answers(socket_path):
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            raise CommandError(f"onggi: the engine did not start; {log_path} ends with:\n{_end_of(log_path)}")
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
            raise CommandError(
                f"onggi: the engine did not answer within {_PATIENCE_S:.0f} s; "
                f"{log_path} ends with:\n{_end_of(log_path)}"
            )
        time.sleep(0.02)
    sys.stderr.write(f"onggi: started the engine (pid {pid}); stop it with: kill {pid}\n")


def _spawn(command: list[str], log_fd: int) -> int:
    """The engine as a leader of its own session, without this terminal."""
    null_fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.posix_spawn(
            command[0],
            command,
            {name: value for name, value in os.environ.items() if name not in ("DOCKER_HOST", "ONGGI_HOST")},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, null_fd, 0),
                (os.POSIX_SPAWN_DUP2, log_fd, 1),
                (os.POSIX_SPAWN_DUP2, log_fd, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGQUIT],
        )
    finally:
        os.close(null_fd)


def _answers(socket_path: str) -> bool:
    try:
        connection = http.connect_unix(socket_path)
    except OSError:
        return False
    try:
        return connection.request("GET", "/_ping").status == 200
    except (OSError, CommandError):
        return False
    finally:
        connection.close()


def _end_of(path: str) -> str:
    with open(path, "rb") as file:
        return file.read()[-2000:].decode("utf-8", "replace").rstrip()
