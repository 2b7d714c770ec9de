"""A user namespace with a network of its own, made before the container: so that its root rules its network.

The network namespace of a container is set up before its first process is there (network/sandbox.py); whoever
makes it owns it for ever (network_namespaces(7)), so both are made together, by the zygote, and joined.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from onggi.kernel.netlink import Route
from onggi.network.sandbox import Entered, Sandbox

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.userns.maps import IdMaps


class Held:
    """Owns `fd`, the user namespace; `sandbox` is the network in it, and the caller's."""

    def __init__(self, fd: int, sandbox: Sandbox) -> None:
        self._fd = fd
        self.sandbox = sandbox

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def close(self) -> None:
        """Let go of the user namespace; the container's processes hold it now, or nobody."""
        os.close(self._fd)
        self._fd = -1


async def hold(engine: Engine, maps: IdMaps) -> Held:
    """Make both. Raises OSError, ShimGone."""
    user_fd, net_fd = await engine.zygote.namespaces(*maps.text())
    held = Held(user_fd, Sandbox(net_fd))
    try:
        await engine.offload(_loopback_up, net_fd)
    except BaseException:
        held.sandbox.close()
        held.close()
        raise
    return held


def _loopback_up(net_fd: int) -> None:
    with Entered(net_fd), Route() as route:
        route.set_up(1)
