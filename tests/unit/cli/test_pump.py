"""The pump between a terminal and an engine, with a socket for the engine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading

PUMP = """
import _socket, sys
from onggi.cli.streams import Pump
Pump(_socket.socket(fileno=int(sys.argv[1])), b"", raw=True, stdin=True).run()
"""
SIZE = 4 << 20


def test_a_filter_that_writes_more_than_it_reads_is_not_waited_for() -> None:
    """It takes no input until its output is taken: whoever sends without reading waits for ever."""
    ours, theirs = socket.socketpair()
    ours.settimeout(20)
    with tempfile.TemporaryFile() as given:
        given.write(os.urandom(SIZE))
        given.seek(0)
        pump = subprocess.Popen(
            [sys.executable, "-c", PUMP, str(theirs.fileno())],
            stdin=given,
            stdout=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        theirs.close()
        got: list[int] = []

        def take() -> None:
            assert pump.stdout is not None
            while data := pump.stdout.read(1 << 16):
                got.append(len(data))

        taker = threading.Thread(target=take)
        taker.start()
        try:
            while data := ours.recv(1 << 16):
                ours.sendall(data * 4)
            ours.close()
            assert pump.wait(20) == 0
        finally:
            pump.kill()
            pump.wait()
            taker.join()
            ours.close()
            if pump.stdout is not None:
                pump.stdout.close()
    assert sum(got) == 4 * SIZE
