"""A process of the engine's that outlives it: the engine speaks to it by packets on a unix socket.

    engine  --- PATH, one JSON packet for each message, descriptors by SCM_RIGHTS --->  companion process

Blocking, thread-safe. The process is started when it is first needed; the next engine finds it by its socket.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from typing import Any

import msgspec

PACKET_BYTES = 1 << 20
SECONDS = 10.0
_CODE = "import sys;sys.path[:]={path!r};from {module} import main;main({fd})  # {socket}"


class Companion:
    """A connection to the process; `module` is where its `main(listener_fd)` is."""

    module = ""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._connection: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def connected(self) -> bool:
        """Is there a process that listens to us?"""
        with self._lock:
            if self._connection is None:
                return False
            try:
                self._connection.setblocking(False)
                alive = self._connection.recv(1, socket.MSG_PEEK) != b""
            except BlockingIOError:
                alive = True
            except OSError:
                alive = False
            finally:
                self._connection.settimeout(SECONDS)
            if not alive:
                self._drop()
            return alive

    def running(self) -> bool:
        """Is there a process from an earlier engine, or ours?"""
        return self._connect(start=False)

    def start(self) -> bool:
        """Connect, and start the process where there is none; True when it is a new one. Raises OSError."""
        with self._lock:
            if self.connected() or self._connect(start=False):
                return False
            self._connect(start=True)
            return True

    def close(self) -> None:
        """Let go; the process ends if it has no sandbox, and serves on otherwise."""
        with self._lock:
            if self._connection is not None:
                with contextlib.suppress(OSError):
                    self._send({"op": "quit"})
            process, self._process = self._process, None
            self._drop()
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)

    def _send(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        """A lost process is no error of the caller's: the engine's watch starts another and tells it all."""
        with self._lock:
            if self._connection is None:
                return
            try:
                socket.send_fds(self._connection, [msgspec.json.encode(message)], fds)
            except OSError:
                self._drop()

    def _ask(
        self, message: dict[str, Any], fds: tuple[int, ...] = (), *, wanted: int = 0
    ) -> tuple[Any, list[int]]:
        """Send, and wait for the answer and at most `wanted` descriptors; (None, []) of a lost process."""
        with self._lock:
            self._send(message, fds)
            if self._connection is None:
                return None, []
            try:
                answer, found, _, _ = socket.recv_fds(self._connection, PACKET_BYTES, wanted)
            except OSError:
                answer, found = b"", []
            if not answer:
                self._drop()
                return None, []
            return msgspec.json.decode(answer), found

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None and self._process.poll() is not None:
            self._process = None

    def _connect(self, *, start: bool) -> bool:
        with self._lock:
            self._drop()
            if start:
                self._spawn()
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
            connection.settimeout(SECONDS)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PACKET_BYTES)
            try:
                connection.connect(self._path)
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                if start:
                    raise
                return False
            self._connection = connection
            return True

    def _spawn(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with listener:
            listener.bind(self._path)
            os.chmod(self._path, 0o600)
            listener.listen(16)  # a connection with a time limit is refused at once by a full queue
            code = _CODE.format(path=sys.path, module=self.module, fd=listener.fileno(), socket=self._path)
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-E", "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(listener.fileno(),),
                start_new_session=True,
                cwd="/",
            )
