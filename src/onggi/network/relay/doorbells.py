"""Sockets that wait for their first client before a relay is started for them: most are never asked.

One thread of the engine's waits for all of them, from the first one on. Without the engine nobody answers.
"""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable

from onggi.network.relay.client import Served

_EVENTS = select.EPOLLIN | select.EPOLLONESHOT


class Doorbells:
    """Thread-safe. `ring` is called in the thread, at least once for a client that waits."""

    def __init__(self, ring: Callable[[Served], None]) -> None:
        self._ring = ring
        self._lock = threading.Lock()
        self._hung: dict[Served, socket.socket] = {}
        self._epoll: select.epoll | None = None
        self._stop = -1
        self._thread: threading.Thread | None = None

    def hang(self, served: Served, listener: socket.socket) -> None:
        """Watch a listening socket, or a bound one of datagrams; it stays the caller's. Raises OSError."""
        with self._lock:
            if self._epoll is None:
                self._epoll = select.epoll()
                self._stop = os.eventfd(0, os.EFD_CLOEXEC)
                self._epoll.register(self._stop, select.EPOLLIN)
                self._thread = threading.Thread(target=self._wait, name="doorbells", daemon=True)
                self._thread.start()
            self._epoll.register(listener.fileno(), _EVENTS)
            self._hung[served] = listener

    def take_down(self, served: Served) -> bool:
        """Before the socket is closed or served. False: it was not watched."""
        with self._lock:
            listener = self._hung.pop(served, None)
            if listener is not None and self._epoll is not None:
                self._epoll.unregister(listener.fileno())
            return listener is not None

    def hangs(self, served: Served) -> bool:
        return served in self._hung

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is None or self._epoll is None:
                return
            os.eventfd_write(self._stop, 1)
        thread.join()
        self._epoll.close()
        os.close(self._stop)
        self._epoll = None
        self._hung.clear()

    def _wait(self) -> None:
        assert self._epoll is not None
        while True:
            for fd, _ in self._epoll.poll():
                if fd == self._stop:
                    return
                with self._lock:
                    rung = next((one for one, sock in self._hung.items() if sock.fileno() == fd), None)
                if rung is not None:
                    self._ring(rung)
