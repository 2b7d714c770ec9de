"""Which hosts are asked for a repository, in which order, and how each is spoken to.

    docker.io/library/debian  ->  registry-mirrors of daemon.json, then registry-1.docker.io
    example.com/a/b           ->  mirrors of registries.conf or hosts.toml, then example.com itself

Plain HTTP, or TLS that is not verified, is used only for registries that are configured so:
insecure-registries (hosts, host:port, networks), `insecure` and `skip_verify` of the two files, and this
machine's own addresses, as dockerd does it. Certificates of a host lie in `<certs dir>/HOST:PORT/`: *.crt
(authorities), NAME.cert with NAME.key.
"""

from __future__ import annotations

import ipaddress
import os
import socket

import msgspec

from onggi.errors import InvalidParameter
from onggi.spec.reference import DEFAULT_DOMAIN, Reference

HUB = "registry-1.docker.io"
PULL, RESOLVE, PUSH = "pull", "resolve", "push"
ALL = frozenset((PULL, RESOLVE, PUSH))


class TLS(msgspec.Struct, frozen=True):
    """How a host proves itself, and we to it. Paths of PEM files."""

    verify: bool = True
    authorities: tuple[str, ...] = ()
    clients: tuple[tuple[str, str], ...] = ()  # (certificate, key)


class Endpoint(msgspec.Struct, frozen=True):
    """One host that serves repositories; `base` ends before `/v2`."""

    base: str  # https://host:port[/prefix]
    tls: TLS = TLS()
    mirror: bool = False
    capabilities: frozenset[str] = ALL
    headers: tuple[tuple[str, str], ...] = ()
    bare: bool = False  # hosts.toml's override_path: no /v2 is added
    domain: str = ""  # of the images that it serves; mirrors carry it as ?ns=

    @property
    def root(self) -> str:
        """What paths of the protocol stand behind."""
        return self.base if self.bare else f"{self.base}/v2"


class Source(msgspec.Struct, frozen=True):
    """A repository at an endpoint: the path may differ from the image's name where a mirror says so."""

    endpoint: Endpoint
    path: str


class Settings(msgspec.Struct, frozen=True):
    """What the engine was told of registries."""

    insecure: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()  # of docker.io
    registries_conf: str = ""
    certs_dirs: tuple[str, ...] = ()
    offline: bool = False


def host_of(domain: str) -> str:
    return HUB if domain == DEFAULT_DOMAIN else domain


def direct(domain: str, settings: Settings, *, insecure: bool = False) -> list[Endpoint]:
    """The registry of a domain itself: TLS first, then plain HTTP where that is allowed."""
    host = host_of(domain)
    insecure = insecure or is_insecure(host, settings.insecure)
    tls = certificates(host, settings.certs_dirs, verify=not insecure)
    found = [Endpoint(f"https://{host}", tls, domain=domain)]
    if insecure:
        found.append(Endpoint(f"http://{host}", tls, domain=domain))
    return found


def hub_mirrors(settings: Settings) -> list[Endpoint]:
    """`registry-mirrors`: for docker.io alone, pulls only."""
    found = []
    for url in settings.mirrors:
        base = check_mirror(url)
        host = base.partition("://")[2].partition("/")[0]
        verify = not is_insecure(host, settings.insecure)
        found.append(
            Endpoint(
                base,
                certificates(host, settings.certs_dirs, verify=verify),
                mirror=True,
                capabilities=frozenset((PULL, RESOLVE)),
                domain=DEFAULT_DOMAIN,
            )
        )
    return found


def check_mirror(url: str) -> str:
    """The mirror's base. Raises InvalidParameter in dockerd's words."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("http", "https"):
        raise InvalidParameter(
            f'invalid mirror: unsupported scheme "{scheme if separator else ""}" in "{url}"'
        )
    if "?" in rest or "#" in rest:
        raise InvalidParameter(f'invalid mirror: path, query, or fragment at end of the URI "{url}"')
    if "@" in rest:
        raise InvalidParameter(f'invalid mirror: username/password not allowed in URI "{scheme}://xxxxx"')
    return url.rstrip("/")


def is_insecure(host: str, configured: tuple[str, ...]) -> bool:
    """Whether a host may be spoken to without verified TLS: named, in a named network, or this machine."""
    name = _name(host)
    addresses = _addresses(name)
    if addresses and all(ipaddress.ip_address(text).is_loopback for text in addresses):
        return True
    for item in configured:
        if "/" in item and "://" not in item:
            network = ipaddress.ip_network(item, strict=False)
            if any(ipaddress.ip_address(text) in network for text in addresses):
                return True
        elif item.partition("://")[2] == host or item in (host, name):
            return True
    return False


def _name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _addresses(name: str) -> list[str]:
    """Of an IP address itself, and of localhost; other names are looked up."""
    try:
        return [str(ipaddress.ip_address(name))]
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return sorted({str(item[4][0]).partition("%")[0] for item in found})


def certificates(host: str, directories: tuple[str, ...], *, verify: bool) -> TLS:
    """What `<dir>/HOST[:PORT]/` holds. Raises InvalidParameter for half a pair."""
    authorities: list[str] = []
    clients: list[tuple[str, str]] = []
    for directory in directories:
        path = f"{directory}/{host}"
        try:
            names = sorted(os.listdir(path))
        except OSError:
            continue
        for name in names:
            if name.endswith(".crt"):
                authorities.append(f"{path}/{name}")
            elif name.endswith(".cert"):
                key = name.removesuffix(".cert") + ".key"
                if key not in names:
                    raise InvalidParameter(
                        f"missing key {key} for client certificate {name}. "
                        "Note that CA certificates should use the extension .crt"
                    )
                clients.append((f"{path}/{name}", f"{path}/{key}"))
            elif name.endswith(".key") and name.removesuffix(".key") + ".cert" not in names:
                missing = name.removesuffix(".key") + ".cert"
                raise InvalidParameter(f"missing client certificate {missing} for key {name}")
    return TLS(verify, tuple(authorities), tuple(clients))


def sources(named: Reference, settings: Settings, *, need: str = PULL) -> list[Source]:
    """Where an image is looked for, in order. Raises InvalidParameter, Forbidden (a blocked registry)."""
    from onggi.registry import hosts_toml, registries_conf

    ruled = registries_conf.sources(named, settings, need)
    if ruled is not None:
        return ruled
    listed = hosts_toml.endpoints(named.domain, settings)
    if listed is None:
        listed = direct(named.domain, settings)
        if named.domain == DEFAULT_DOMAIN:
            listed = [*hub_mirrors(settings), *listed]
    return [Source(one, named.path) for one in listed if need in one.capabilities]
