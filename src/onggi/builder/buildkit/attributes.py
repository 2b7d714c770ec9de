"""What a client asks of the Dockerfile's front end: its attributes (dockerfile.v0) as Options.

An attribute that changes the result and that is not known here is refused, not dropped.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping

from onggi.builder.options import NamedContext, Options
from onggi.errors import InvalidParameter, NotImplemented_
from onggi.spec import platform as platforms

# What tells the front end about the client, or a source's name, and changes nothing that is built.
SILENT = (
    "cmdline",
    "source",
    "frontend.caps",
    "vcs:",
    "input-metadata:",
    "local-sessionid:",
    "localsessionid:",
    "cache-imports",  # caching.py
    "cache-from",
    "attest:",  # outputs/attestations.py
)


def options(attributes: Mapping[str, str], *, shared_key: str) -> Options:
    """Raises InvalidParameter, NotImplemented_."""
    _refuse(attributes)
    network = attributes.get("force-network-mode", "")
    return Options(
        filename=attributes.get("filename") or "Dockerfile",
        target=attributes.get("target", ""),
        build_args=_named(attributes, "build-arg:"),
        labels=_named(attributes, "label:"),
        platforms=tuple(platforms.parse(one) for one in _list(attributes, "platform")),
        multi_platform=attributes.get("multi-platform", "").lower() in ("1", "t", "true"),
        context_name=attributes.get("contextkey") or "context",
        dockerfile_name=attributes.get("dockerfilekey") or "dockerfile",
        contexts={name: NamedContext(value=value) for name, value in _named(attributes, "context:").items()},
        no_cache="no-cache" in attributes and not attributes["no-cache"],
        no_cache_filter=tuple(_list(attributes, "no-cache")),
        resolve="pull" if attributes.get("image-resolve-mode") == "pull" else "default",
        network={"": "default", "sandbox": "default", "bridge": "default"}.get(network, network),
        extra_hosts=tuple(_pair(one) for one in _list(attributes, "add-hosts")),
        ulimits=tuple(_ulimit(one) for one in _list(attributes, "ulimit")),
        shm_bytes=_number(attributes, "shm-size"),
        cgroup_parent=attributes.get("cgroup-parent", ""),
        hostname=attributes.get("hostname", ""),
        cache_namespace=attributes.get("build-arg:BUILDKIT_CACHE_MOUNT_NS", ""),
        shared_key=shared_key,
    )


KNOWN = frozenset({
    "filename", "target", "platform", "contextkey", "dockerfilekey", "no-cache", "image-resolve-mode",
    "context", "requestid", "force-network-mode", "add-hosts", "ulimit", "shm-size", "cgroup-parent",
    "hostname",
})  # fmt: skip
NAMED = ("build-arg:", "label:", "context:")


def _refuse(attributes: Mapping[str, str]) -> None:
    for name, value in attributes.items():
        if name in KNOWN or name.startswith(NAMED) or name.startswith(SILENT):
            continue
        if name == "multi-platform":
            continue
        if name == "no-cache-export" and value in ("", "false"):
            continue
        raise NotImplemented_(f"{name}: this engine does not know this attribute of a build")


def _named(attributes: Mapping[str, str], prefix: str) -> dict[str, str]:
    """In the order of their names: the client's maps have none."""
    return {name[len(prefix) :]: attributes[name] for name in sorted(attributes) if name.startswith(prefix)}


def _list(attributes: Mapping[str, str], name: str) -> list[str]:
    """Comma-separated, quoted as in a CSV line."""
    value = attributes.get(name, "")
    return [one for line in csv.reader([value]) for one in line if one] if value else []


def _pair(text: str) -> tuple[str, str]:
    name, _, address = text.partition("=")
    if not name or not address:
        raise InvalidParameter(f"invalid key-value pair for add-hosts: {text}")
    return name, address


def _ulimit(text: str) -> tuple[str, int, int]:
    name, _, limits = text.partition("=")
    soft, _, hard = limits.partition(":")
    try:
        return name, int(soft), int(hard or soft)
    except ValueError:
        raise InvalidParameter(f"invalid ulimit: {text}") from None


def _number(attributes: Mapping[str, str], name: str) -> int:
    try:
        return int(attributes.get(name) or 0)
    except ValueError:
        raise InvalidParameter(f"{name}: {attributes[name]!r} is not a number") from None
