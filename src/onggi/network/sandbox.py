"""A sandbox is a network namespace that waits for its container.

It is held by a descriptor of ours alone, never by a mount: once the container's init has joined it, the
container's processes hold it, and when they end the kernel removes it with every interface inside and the far
end of each veth pair. So nothing is left behind by a crash at any point.
"""

from __future__ import annotations

import os

from onggi.kernel.namespaces import CLONE_NEWNET, setns, unshare
from onggi.kernel.netlink import Route


class Sandbox:
    """Owns `fd`; `path` is what the plan joins. Close it when init has joined or when the start failed."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Entered:
    """`with Entered(fd)`: the calling thread is in that network namespace, and back in its own afterwards."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> None:
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        setns(self._fd, CLONE_NEWNET)

    def __exit__(self, *_: object) -> None:
        # A thread that cannot go home must not go on: the next caller would act in a container's network.
        setns(self._home, CLONE_NEWNET)
        os.close(self._home)


def open_sandbox() -> Sandbox:
    """A new network namespace with its loopback up. Raises OSError."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        unshare(CLONE_NEWNET)
        try:
            sandbox = Sandbox(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
            with Route() as route:
                route.set_up(1)  # the loopback is the first interface of every namespace
        finally:
            setns(home, CLONE_NEWNET)
    finally:
        os.close(home)
    return sandbox
