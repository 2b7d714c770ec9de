"""Create a network."""

from __future__ import annotations

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "NETWORK"
ARGUMENTS = (1, 1)
FLAGS = (
    ("attachable", "", "bool", False, "Let containers outside of a swarm join"),
    ("aux-address", "", "map", "map[]", "Address that is not handed out (name=address)"),
    ("config-from", "", "string", "", "Network to take the configuration from"),
    ("config-only", "", "bool", False, "Make a configuration alone, for others to take"),
    ("driver", "d", "string", "bridge", "Driver of the network"),
    ("gateway", "", "strings", None, "IPv4 or IPv6 gateway of the subnet"),
    ("ingress", "", "bool", False, "Make the routing mesh of a swarm"),
    ("internal", "", "bool", False, "No way to the outside"),
    ("ip-range", "", "strings", None, "Hand out addresses of this range only"),
    ("ipam-driver", "", "string", "default", "Driver of the addresses"),
    ("ipam-opt", "", "map", "map[]", "Option of the addresses' driver"),
    ("ipv4", "", "bool", True, "Give IPv4 addresses"),
    ("ipv6", "", "bool", False, "Give IPv6 addresses"),
    ("label", "", "list:label", None, "Attach a label"),
    ("opt", "o", "map", "map[]", "Option of the driver"),
    ("scope", "", "string", "", "Scope of the network"),
    ("subnet", "", "strings", None, "Subnet in CIDR form, one for each family"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    body: dict[str, Any] = {
        "Name": args[0],
        "Driver": flags["driver"],
        "Scope": flags["scope"],
        "Internal": flags["internal"],
        "Attachable": flags["attachable"],
        "Ingress": flags["ingress"],
        "ConfigOnly": flags["config-only"],
        "Options": dict(flags["opt"]),
        "Labels": dict(word.partition("=")[::2] for word in flags["label"]),
        "IPAM": {
            "Driver": flags["ipam-driver"],
            "Options": dict(flags["ipam-opt"]),
            "Config": _configurations(flags),
        },
    }
    if flags["config-from"]:
        body["ConfigFrom"] = {"Network": flags["config-from"]}
    for name, key in (("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")):
        if name in flags.given:
            body[key] = flags[name]
    session.out(session.engine.post("/networks/create", body)["Id"])
    return 0


def _configurations(flags: Flags) -> list[dict[str, Any]]:
    """One for each subnet, with the ranges, gateways and addresses that lie in it. Raises CommandError."""
    from ipaddress import ip_address, ip_network

    found: dict[str, dict[str, Any]] = {}
    nets: dict[str, Any] = {}
    for text in flags["subnet"]:
        try:
            net = ip_network(text, strict=False)
        except ValueError:
            raise CommandError(f"invalid CIDR address: {text}") from None
        if any(net.version == other.version and net.overlaps(other) for other in nets.values()):
            raise CommandError("multiple overlapping subnet configuration is not supported")
        found[text], nets[text] = {"Subnet": text}, net
    auxiliary = [(name, text) for name, text in dict(flags["aux-address"]).items()]
    parts = [("IPRange", "ip-range", text) for text in flags["ip-range"]]
    parts += [("Gateway", "gateway", text) for text in flags["gateway"]]
    if parts and not nets:
        raise CommandError("every ip-range or gateway must have a corresponding subnet")
    for key, name, text in parts + [("AuxiliaryAddresses", aux, text) for aux, text in auxiliary]:
        try:
            first = ip_network(text, strict=False)[0] if key == "IPRange" else ip_address(text)
        except ValueError:
            raise CommandError(f"invalid {name}: {text}") from None
        home = next((subnet for subnet, net in nets.items() if first in net), None)
        if home is None:
            what = {"IPRange": "ip-range", "Gateway": "gateway"}.get(key, "aux-address")
            raise CommandError(f"no matching subnet for {what} {text}")
        if key == "AuxiliaryAddresses":
            found[home].setdefault(key, {})[name] = text
        elif key in found[home]:
            raise CommandError(
                f"cannot configure multiple {name}s ({text}, {found[home][key]}) on subnet ({home})"
            )
        else:
            found[home][key] = text
    return list(found.values())
