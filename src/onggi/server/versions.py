"""How answers differ from version to version of the API, as a table over what the newest version says.

Wire types hold every field that some version has. An operation that has rules gets its answer shaped to the
version that was asked for; all others are written as they are. Paths go through objects by name and
through lists: `NetworkSettings.Bridge` of each container. Source: Docker's history of API versions.

Not here: what a request means in an older version (older_requests.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from onggi.wire.base import ZERO_TIME, encode

Version = tuple[int, int]
Change = Callable[[dict[str, Any]], None]


class Rule(NamedTuple):
    """A change of versions `since` <= v < `before`."""

    change: Change
    since: Version = (0, 0)
    before: Version = (99, 0)


def body(method: str, pattern: str, version: Version, value: object) -> bytes:
    """An answer as JSON, in the shape of a version."""
    rules = [rule for rule in RULES.get((method, pattern), ()) if rule.since <= version < rule.before]
    encoded = encode(value)
    if not rules:
        return encoded
    document = msgspec.json.decode(encoded)
    for item in document if isinstance(document, list) else [document]:
        for rule in rules:
            rule.change(item)
    return msgspec.json.encode(document)


# ---------------------------------------------------------------------------------------------- changes


def _at(document: dict[str, Any], path: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Every object that holds the last name of a path."""
    name, _, rest = path.partition(".")
    if not rest:
        yield document, name
        return
    below = document.get(name)
    for item in below if isinstance(below, list) else [below]:
        if isinstance(item, dict):
            yield from _at(item, rest)


def drop(*paths: str) -> Change:
    """Leave fields out."""

    def change(document: dict[str, Any]) -> None:
        for path in paths:
            for holder, name in _at(document, path):
                holder.pop(name, None)

    return change


def omit(*paths: str) -> Change:
    """Leave fields out where they are empty."""

    def change(document: dict[str, Any]) -> None:
        for path in paths:
            for holder, name in _at(document, path):
                if not holder.get(name):
                    holder.pop(name, None)

    return change


def fill(prefix: str, **values: object) -> Change:
    """Give fields that are not there a value."""

    def change(document: dict[str, Any]) -> None:
        for field, value in values.items():
            for holder, name in _at(document, f"{prefix}.{field}" if prefix else field):
                holder.setdefault(name, value)

    return change


def same(path: str, source: str) -> Change:
    """A field that repeats its neighbour."""

    def change(document: dict[str, Any]) -> None:
        for holder, name in _at(document, path):
            if source in holder:
                holder[name] = holder[source]

    return change


def instead(path: str, value: object) -> Change:
    """A value in place of an empty one."""

    def change(document: dict[str, Any]) -> None:
        for holder, name in _at(document, path):
            if not holder.get(name):
                holder[name] = value

    return change


def always(path: str, value: object) -> Change:
    """A constant, whatever the engine knows."""

    def change(document: dict[str, Any]) -> None:
        for holder, name in _at(document, path):
            holder[name] = value

    return change


def _short_ids_as_aliases(document: dict[str, Any]) -> None:
    """Before 1.45 the aliases on a network of the user's held the short id and the host name as well."""
    names = [document["Id"][:12], document["Config"]["Hostname"]]
    for network, endpoint in document["NetworkSettings"]["Networks"].items():
        if network not in ("bridge", "host", "none"):
            given = endpoint.get("Aliases") or []
            endpoint["Aliases"] = list(dict.fromkeys([*given, *names]))


def _bare_runtimes(document: dict[str, Any]) -> None:
    for runtime in document["Runtimes"].values():
        runtime.pop("status", None)


def _plain_security(document: dict[str, Any]) -> None:
    """Before 1.25 the options were names: `seccomp` for `name=seccomp,profile=builtin`."""
    document["SecurityOptions"] = [
        text.partition(",")[0].removeprefix("name=") for text in document["SecurityOptions"]
    ]


# ------------------------------------------------------------------------------------------------ table

_OLD_NETWORK_SETTINGS = (
    "Bridge", "HairpinMode", "LinkLocalIPv6Address", "LinkLocalIPv6PrefixLen", "SecondaryIPAddresses",
    "SecondaryIPv6Addresses", "EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen",
    "IPAddress", "IPPrefixLen", "IPv6Gateway", "MacAddress",
)  # fmt: skip

# What an image's configuration had because it was written as a container's.
_IMAGE_CONFIG: dict[str, object] = {
    "Cmd": None, "Entrypoint": None, "Env": None, "Labels": None, "OnBuild": None, "User": "",
    "Volumes": None, "WorkingDir": "",
}  # fmt: skip
_CONTAINER_CONFIG: dict[str, object] = {
    "AttachStderr": False, "AttachStdin": False, "AttachStdout": False, "Domainname": "", "Hostname": "",
    "Image": "", "OpenStdin": False, "StdinOnce": False, "Tty": False,
}  # fmt: skip

RULES: dict[tuple[str, str], tuple[Rule, ...]] = {
    ("GET", "/containers/{id}/json"): (
        Rule(drop(*(f"NetworkSettings.{name}" for name in _OLD_NETWORK_SETTINGS)), since=(1, 52)),
        Rule(omit("Config.OnBuild"), since=(1, 52)),
        Rule(_short_ids_as_aliases, before=(1, 45)),
        Rule(drop("ImageManifestDescriptor"), before=(1, 48)),
    ),
    ("GET", "/containers/json"): (
        Rule(drop("Health"), before=(1, 52)),
        Rule(drop("ImageManifestDescriptor"), before=(1, 48)),
        Rule(drop("HostConfig.Annotations"), before=(1, 46)),
    ),
    ("GET", "/images/json"): (
        Rule(always("Containers", -1), before=(1, 51)),
        Rule(drop("Descriptor"), before=(1, 48)),
        Rule(drop("Manifests"), before=(1, 47)),
        Rule(same("VirtualSize", "Size"), before=(1, 44)),
        Rule(instead("RepoTags", ["<none>:<none>"]), before=(1, 43)),
        Rule(instead("RepoDigests", ["<none>@<none>"]), before=(1, 43)),
    ),
    ("GET", "/images/{name}/json"): (
        Rule(drop("Identity"), before=(1, 53)),
        Rule(omit("Parent", "Comment", "DockerVersion", "Author"), since=(1, 52)),
        Rule(fill("Config", **_IMAGE_CONFIG), before=(1, 52)),
        Rule(fill("Config", **_CONTAINER_CONFIG), before=(1, 50)),
        Rule(drop("Descriptor", "Manifests"), before=(1, 48)),
        Rule(fill("", Container="", ContainerConfig={**_CONTAINER_CONFIG, **_IMAGE_CONFIG}), before=(1, 45)),
        Rule(same("VirtualSize", "Size"), before=(1, 44)),
        Rule(instead("Created", ZERO_TIME), before=(1, 44)),
        Rule(omit("Created"), since=(1, 44)),
    ),
    ("GET", "/info"): (
        Rule(drop("NRI"), before=(1, 53)),
        Rule(drop("DiscoveredDevices"), before=(1, 50)),
        Rule(fill("", BridgeNfIptables=False, BridgeNfIp6tables=False), before=(1, 50)),
        Rule(drop("FirewallBackend"), before=(1, 49)),
        Rule(
            fill(
                "RegistryConfig",
                AllowNondistributableArtifactsCIDRs=None,
                AllowNondistributableArtifactsHostnames=None,
            ),
            before=(1, 49),
        ),
        Rule(same("ContainerdCommit.Expected", "ID"), before=(1, 49)),
        Rule(same("RuncCommit.Expected", "ID"), before=(1, 49)),
        Rule(same("InitCommit.Expected", "ID"), before=(1, 49)),
        Rule(drop("Containerd"), before=(1, 46)),
        Rule(_bare_runtimes, before=(1, 44)),
        Rule(_plain_security, before=(1, 25)),
    ),
    ("GET", "/events"): (Rule(drop("status", "id", "from"), since=(1, 52)),),
    ("GET", "/networks"): (Rule(drop("Containers", "Services", "Status"), since=(1, 52)),),
    ("GET", "/networks/{id}"): (Rule(drop("Status"), before=(1, 52)),),
    ("GET", "/containers/{id}/stats"): (Rule(drop("os_type"), before=(1, 52)),),
}
