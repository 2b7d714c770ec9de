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
from onggi.registry import backoff
from onggi.registry.proxies import Proxies
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
    attempts: int = backoff.ATTEMPTS
    proxies: Proxies = Proxies()


def host_of(domain: str) -> str:
    return HUB if domain == DEFAULT_DOMAIN else domain


def direct(domain: str, settings: Settings, *, insecure: bool = False) -> list[Endpoint]:
    """The registry of a domain itself: TLS first, then plain HTTP where that is allowed."""
    host = host_of(domain)
    insecure = insecure or is_insecure(host, settings.insecure, look_up=not settings.offline)
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
        verify = not is_insecure(host, settings.insecure, look_up=not settings.offline)
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
    if "@" in rest.partition("/")[0]:
        user, _, host = rest.rpartition("@")
        shown = f"{scheme}://{user.partition(':')[0]}:xxxxx@{host}"
        raise InvalidParameter(f'invalid mirror: username/password not allowed in URI "{shown}"')
    if "?" in rest or "#" in rest:
        raise InvalidParameter(f'invalid mirror: query or fragment at end of the URI "{url}"')
    if not rest.partition("/")[0]:
        raise InvalidParameter(f'invalid mirror: "{url}" names no host')
    return url.rstrip("/")


def check_insecure(item: str) -> str:
    """An entry of insecure-registries: a network, or a host with its port. Raises InvalidParameter."""
    item = item.removeprefix("http://").removeprefix("https://")
    if "://" in item:
        raise InvalidParameter(f"insecure registry {item} should not contain '://'")
    if item.startswith("-") or item.endswith("-"):
        raise InvalidParameter(f"invalid index name ({item}). Cannot begin or end with a hyphen")
    if "/" in item:
        try:
            ipaddress.ip_network(item, strict=False)
        except ValueError:
            raise InvalidParameter(f'insecure registry {item} is not valid: invalid host "{item}"') from None
        return item
    host, port = item, ""
    if item.count(":") == 1 or item.startswith("["):
        host, _, port = item.rpartition(":") if not item.endswith("]") else (item, "", "")
    bare = host.strip("[]")
    if not bare or any(not (letter.isalnum() or letter in ".-:_") for letter in bare):
        raise InvalidParameter(f'insecure registry {item} is not valid: invalid host "{host}"')
    if port and not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise InvalidParameter(f'insecure registry {item} is not valid: invalid port "{port}"')
    return item


def is_insecure(host: str, configured: tuple[str, ...], *, look_up: bool = True) -> bool:
    """Whether a host may be spoken to without verified TLS: named, in a named network, or this machine.

    A name counts for its own port only, as dockerd has it; Docker Hub is never insecure. Without `look_up`
    no name server is asked.
    """
    if host in (HUB, DEFAULT_DOMAIN):
        return False
    addresses = _addresses(_name(host), look_up=look_up)
    if addresses and all(ipaddress.ip_address(text).is_loopback for text in addresses):
        return True
    for item in map(check_insecure, configured):
        if "/" not in item:
            if item == host:
                return True
        elif any(
            ipaddress.ip_address(text) in ipaddress.ip_network(item, strict=False) for text in addresses
        ):
            return True
    return False


def _name(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _addresses(name: str, *, look_up: bool) -> list[str]:
    """Of an IP address itself, and of localhost; other names are looked up."""
    try:
        return [str(ipaddress.ip_address(name))]
    except ValueError:
        if not look_up:
            return []
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
