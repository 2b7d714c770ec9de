"""One thread, one epoll: descriptors with handlers, and timers. The shim's whole concurrency.

Handlers are called as handler(events). A handler may remove any descriptor, also one whose event is due, and
watch another that gets its number: the event is not that one's.
"""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

IN = select.EPOLLIN
OUT = select.EPOLLOUT
PRI = select.EPOLLPRI
GONE = select.EPOLLHUP | select.EPOLLERR


class Loop:
    """Owns the epoll descriptor; the descriptors in it belong to whoever added them."""

    __slots__ = ("_epoll", "_events", "_handlers", "_new", "_timers", "_turning")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._events: dict[int, int] = {}
        self._new: set[int] = set()  # watched since the events that are being handled came
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self._turning = False

    def watch(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        """Call `handler` on these events of `fd`; a second call changes them. GONE always counts."""
        if fd not in self._handlers:
            self._epoll.register(fd, events)
            self._new.add(fd)
        elif self._events[fd] != events:
            self._epoll.modify(fd, events)
        self._handlers[fd] = handler
        self._events[fd] = events

    def forget(self, fd: int) -> None:
        """Stop watching; call it before the descriptor is closed."""
        if self._handlers.pop(fd, None) is not None:
            del self._events[fd]
            self._epoll.unregister(fd)

    def call_later(self, seconds: float, handler: Callable[[], None]) -> tuple[float, Callable[[], None]]:
        """A timer, to be given to `cancel`."""
        timer = (time.monotonic() + seconds, handler)
        self._timers.append(timer)
        return timer

    def cancel(self, timer: tuple[float, Callable[[], None]]) -> None:
        self._timers = [other for other in self._timers if other is not timer]

    def stop(self) -> None:
        self._turning = False

    def close(self) -> None:
        self._epoll.close()

    def run(self) -> None:
        """Turn until `stop`."""
        self._turning = True
        while self._turning:
            ready = self._epoll.poll(self._wait())
            self._new.clear()
            for fd, events in ready:
                handler = self._handlers.get(fd)
                if handler is not None and fd not in self._new:
                    handler(events)
            if self._timers:
                self._ring()

    def _wait(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, min(timer[0] for timer in self._timers) - time.monotonic())

    def _ring(self) -> None:
        now = time.monotonic()
        due = [timer for timer in self._timers if timer[0] <= now]
        self._timers = [timer for timer in self._timers if timer[0] > now]
        for _, handler in due:
            handler()
