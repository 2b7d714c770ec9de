"""The way out of a rootless engine's network namespace, as the engine sees it (network/rootless/).

The outside process keeps pasta or slirp4netns alive by itself. What is left for the engine: to tell of it, to
give the link the addresses that slirp4netns does not, and to stand in for the name servers of the host's
loopback, so that /etc/resolv.conf of the host is true here as well. Blocking: called by offload.
"""

from __future__ import annotations

import ipaddress
import logging
from typing import TYPE_CHECKING

from onggi.kernel.netlink import Route
from onggi.network.resolver.forward import HostServers
from onggi.network.rootless import programs
from onggi.network.rootless.outside import NONE, Situation, State

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.network.rootless.outside import Outside

log = logging.getLogger(__name__)


class Uplink:
    """What was seen of it last."""

    def __init__(self) -> None:
        self.state = State()
        self.process = 0
        self.servers = HostServers()
        self.refused: set[str] = set()  # name servers whose port somebody has here


def open_(engine: Engine) -> None:
    """At the engine's start: the loopback of a fresh namespace, and what there is outside. Raises OSError."""
    if engine.networks.outside is None:
        return
    with Route() as route:
        route.set_up(1)  # the loopback is the first interface of every namespace
    for what in mend(engine):
        log.info("%s is there", what)


def mend(engine: Engine) -> list[str]:
    """Follow what changed outside; says what was started again there."""
    outside, seen = engine.networks.outside, engine.networks.uplink
    if outside is None:
        return []
    situation = outside.situation()
    if situation is None:
        if seen.process:
            log.error("the process outside of the engine's network namespace has ended")
        seen.process, seen.state = 0, State()
        return []
    mended = _compare(seen, situation)
    _complete(situation.uplink)
    _stand_in(outside, seen, situation)
    return mended


def _compare(seen: Uplink, situation: Situation) -> list[str]:
    before, now = seen.state, situation.uplink
    mended = []
    if situation.pid != seen.process:
        mended.append("process outside of the network namespace")
    if now.driver != NONE and (now.starts, now.pid) != (before.starts, before.pid):
        mended.append(f"uplink by {now.driver}")
    if now.error and now.error != before.error:
        log.error("no uplink: %s", now.error)
    seen.process, seen.state = situation.pid, now
    return mended


def _complete(state: State) -> None:
    """The addresses of IPv6: slirp4netns has its own idea of them."""
    if state.way is None or not state.way.address6:
        return
    with Route() as route:
        link = route.link(programs.LINK)
        if link is None:
            return  # it has just ended
        route.add_address(link.index, state.way.address6, 64)
        route.add_default_route(state.way.gateway6, link.index)


def _stand_in(outside: Outside, seen: Uplink, situation: Situation) -> None:
    wanted = {server for server in seen.servers.current() if _is_loopback(server)}
    for address in set(situation.stubs) - wanted:
        outside.without_stub(address)
    for address in wanted - set(situation.stubs):
        try:
            outside.stub(address)
            seen.refused.discard(address)
        except OSError as error:
            if address not in seen.refused:
                log.error("the host's name server %s cannot be asked here: %s", address, error)
            seen.refused.add(address)


def _is_loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server).is_loopback
    except ValueError:
        return False
