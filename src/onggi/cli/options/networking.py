"""Networks of a new container: NetworkMode of the host configuration, and one endpoint for each network."""

from __future__ import annotations

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags

_BUILT_IN = ("default", "bridge", "host", "none")


def endpoints(flags: Flags, host: dict[str, Any]) -> dict[str, Any]:
    """EndpointsConfig by network; sets host["NetworkMode"]. Raises CommandError."""
    attachments: list[dict[str, Any]] = [dict(item) for item in flags["network"]]
    if not attachments:
        attachments = [{"Target": "default", "Aliases": [], "DriverOpts": {}, "LinkLocalIPs": []}]
    first = attachments[0]
    host["NetworkMode"] = first["Target"]
    _merge(first, flags)
    found: dict[str, Any] = {}
    for item in attachments:
        target = item["Target"]
        endpoint = _endpoint(item, flags)
        if target in found:
            raise CommandError(f'network "{target}" is specified multiple times')
        if endpoint or len(attachments) > 1:
            found[target] = endpoint
    if len(attachments) > 1 and any(_is_mode(item["Target"]) for item in attachments):
        raise CommandError(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
        )
    return found


def _is_mode(name: str) -> bool:
    return name in ("default", "host", "none") or name.startswith("container:")


def _merge(item: dict[str, Any], flags: Flags) -> None:
    """--ip, --network-alias and the like belong to the first network."""
    clashes = (
        ("network-alias", "Aliases", "--network-alias and per-network alias"),
        ("ip", "IPv4Address", "--ip and per-network IPv4 address"),
        ("ip6", "IPv6Address", "--ip6 and per-network IPv6 address"),
        ("link-local-ip", "LinkLocalIPs", "--link-local-ip and per-network link-local IP addresses"),
    )
    for name, key, what in clashes:
        if flags[name] and item.get(key):
            raise CommandError(f"conflicting options: cannot specify both {what}")
        if flags[name]:
            item[key] = flags[name]
    if flags["mac-address"] and item.get("MacAddress"):
        raise CommandError(
            "conflicting options: cannot specify both --mac-address and per-network MAC address"
        )
    if flags["mac-address"]:
        item["MacAddress"] = flags["mac-address"].strip()
    for name in ("bandwidth-in", "bandwidth-out"):
        if flags[name] and name in item["DriverOpts"]:
            raise CommandError(f"conflicting options: cannot specify both --{name} and driver-opt={name}")
        if flags[name]:
            item["DriverOpts"][name] = flags[name]
    if flags["link"] and not _is_mode(item["Target"]) and item["Target"] != "bridge":
        item["Links"] = flags["link"]


def _endpoint(item: dict[str, Any], flags: Flags) -> dict[str, Any]:
    target = item["Target"]
    user_defined = not (target in _BUILT_IN or target.startswith("container:"))
    if item["Aliases"] and not user_defined:
        raise CommandError("network-scoped aliases are only supported for user-defined networks")
    if target.startswith("container:") and flags["hostname"]:
        raise CommandError("conflicting options: hostname and the network mode")
    found: dict[str, Any] = {}
    addressing = {
        "IPv4Address": item.get("IPv4Address", ""),
        "IPv6Address": item.get("IPv6Address", ""),
        "LinkLocalIPs": item["LinkLocalIPs"],
    }
    if any(addressing.values()):
        found["IPAMConfig"] = {name: value for name, value in addressing.items() if value}
    for key in ("Aliases", "DriverOpts", "Links", "MacAddress", "GwPriority"):
        if item.get(key):
            found[key] = item[key]
    return found
