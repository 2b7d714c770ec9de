"""/etc/hostname, /etc/hosts and /etc/resolv.conf of a container, bound over those of its image.

Owns the three files in `containers/ID/`. Networks hand in the names and addresses they know; a container of
the host's network gets the host's files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from onggi.engine.config import EngineConfig
from onggi.engine.record import ContainerRecord

_LOCAL = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)
_FALLBACK_SERVERS = ("8.8.8.8", "8.8.4.4")
OWN_RESOLVER = "127.0.0.11"
_RESOLVED = "/run/systemd/resolve/resolv.conf"


def hostname(record: ContainerRecord) -> str:
    """The host name inside."""
    if record.host_config.uts_mode == "host" or (
        record.host_config.network_mode == "host" and not record.config.hostname
    ):
        return os.uname().nodename
    return record.config.hostname or record.id[:12]


def write(
    directory: str,
    record: ContainerRecord,
    config: EngineConfig,
    *,
    addresses: Sequence[str] = (),
    extra_hosts: Iterable[str] = (),
    own_resolver: bool = False,
) -> None:
    """Write the three files; `addresses` are the container's own.

    `extra_hosts` are `name:address`, of --add-host and --link; with `own_resolver` the engine's name server
    answers inside.
    """
    name = hostname(record)
    _put(f"{directory}/hostname", name + "\n")
    _put(f"{directory}/hosts", _hosts(record, name, addresses, extra_hosts))
    _put(f"{directory}/resolv.conf", _resolv(record, config, own_resolver))


def mounts(directory: str) -> tuple[tuple[str, str], ...]:
    """(host file, target) of the three."""
    names = ("resolv.conf", "hostname", "hosts")
    return tuple((f"{directory}/{name}", f"/etc/{name}") for name in names)


def _hosts(record: ContainerRecord, name: str, addresses: Sequence[str], extra: Iterable[str]) -> str:
    of_host = record.host_config.network_mode == "host"
    text = (_read("/etc/hosts") if of_host else "") or _LOCAL
    domain = record.config.domainname
    names = f"{name}.{domain} {name}" if domain else name
    for item in extra:
        host, _, address = item.partition(":")
        text += f"{address.strip('[]')}\t{host}\n"
    return text + "".join(f"{address}\t{names}\n" for address in addresses)


def _resolv(record: ContainerRecord, config: EngineConfig, own_resolver: bool) -> str:
    """The host's servers, without those that only its own loopback reaches; --dns and its like win."""
    host = record.host_config
    text = _read("/etc/resolv.conf")
    if "127.0.0.53" in text and os.path.exists(_RESOLVED):
        text = _read(_RESOLVED)
    words = [line.split() for line in text.splitlines() if line.strip()]
    found = [line[1] for line in words if line[0] == "nameserver" and len(line) > 1]
    if host.network_mode != "host":
        found = [server for server in found if not server.startswith("127.") and server != "::1"]
    servers = host.dns or list(config.dns) or found or list(_FALLBACK_SERVERS)
    if own_resolver:
        servers = [OWN_RESOLVER]
    search = host.dns_search or list(config.dns_search) or _values(words, "search")
    options = host.dns_options or list(config.dns_options) or _values(words, "options")
    if own_resolver and not any(option.startswith("ndots:") for option in options):
        options = [*options, "ndots:0"]
    lines = [f"nameserver {server}" for server in servers]
    if search and search != ["."]:
        lines.append("search " + " ".join(search))
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n"


def _values(words: list[list[str]], key: str) -> list[str]:
    return next((line[1:] for line in reversed(words) if line[0] == key), [])


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _put(path: str, text: str) -> None:
    """In place: a running container has the file bound, so its inode must stay."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
