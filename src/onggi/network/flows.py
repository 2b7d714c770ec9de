"""UDP flows that lead where nobody is any more, forgotten when a published port comes or goes.

Without it a client that never is silent (syslog, a VPN, DNS of one source port) keeps being led to a
container that is gone, or past one that came later.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable

from onggi.kernel import conntrack
from onggi.kernel.netlink import Route
from onggi.network.published import Port

log = logging.getLogger(__name__)


def published(ports: Iterable[Port]) -> None:
    """Forget flows to these ports of this host that nobody led to a container."""
    own: set[str] | None = None
    for port in ports:
        if port.protocol != "udp" or port.crosses:
            continue
        for flow in _listed(port):
            if own is None:
                with Route() as route:
                    own = {address for _, address, _ in route.addresses()}
            if flow.destination in own and port.host_address in ("", flow.destination):
                conntrack.forget(flow)


def withdrawn(ports: Iterable[Port]) -> None:
    """Forget the flows that were led to these ports' containers."""
    for address in {port.address for port in ports if port.protocol == "udp"}:
        try:
            for flow in conntrack.flows_answered_by(address, socket.IPPROTO_UDP):
                conntrack.forget(flow)
        except OSError as error:
            log.warning("UDP flows to %s cannot be forgotten: %s", address, error)


def _listed(port: Port) -> list[conntrack.Flow]:
    try:
        listed = conntrack.flows_to(port.host_port, socket.IPPROTO_UDP, six=":" in port.address)
    except OSError as error:
        log.warning("UDP flows to port %s cannot be forgotten: %s", port.host_port, error)
        return []
    return [flow for flow in listed if flow.answers == flow.destination]
