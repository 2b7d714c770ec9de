"""Connect a container to a network."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "NETWORK CONTAINER"
ARGUMENTS = (2, 2)
FLAGS = (
    ("alias", "", "strings", None, "Further name in the network"),
    ("driver-opt", "", "strings", None, "Option of the network's driver"),
    ("gw-priority", "", "int", 0, "The network of the highest one gives the default route"),
    ("ip", "", "string", "", "The container's IPv4 address"),
    ("ip6", "", "string", "", "The container's IPv6 address"),
    ("link", "", "list:link", None, "Name another container of the network"),
    ("link-local-ip", "", "strings", None, "Link-local address of the container"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    ipam = {
        "IPv4Address": flags["ip"],
        "IPv6Address": flags["ip6"],
        "LinkLocalIPs": flags["link-local-ip"],
    }
    endpoint: dict[str, Any] = {
        "IPAMConfig": {key: value for key, value in ipam.items() if value},
        "Links": flags["link"],
        "Aliases": flags["alias"],
        "DriverOpts": dict(word.partition("=")[::2] for word in flags["driver-opt"]),
        "GwPriority": flags["gw-priority"],
    }
    session.engine.post(f"/networks/{args[0]}/connect", {"Container": args[1], "EndpointConfig": endpoint})
    return 0
