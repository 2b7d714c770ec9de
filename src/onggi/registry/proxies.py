"""Which proxy a registry is asked through: dockerd's `proxies`, read as Go's net/http reads its variables.

    http    for http:// addresses         https   for https:// ones, by CONNECT
    no      never for these: a host and its subdomains, .domain, *.domain, an address, a network, each with
            :port or without; `*` for all

Loopback addresses and `localhost` are never asked through a proxy. Source: golang.org/x/net/http/httpproxy.
Credentials in a proxy's address go to the proxy alone, and are hidden wherever it is shown.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import unquote, urlsplit

import msgspec

from onggi.errors import InvalidParameter


class Proxies(msgspec.Struct, frozen=True, rename="kebab", forbid_unknown_fields=True):
    """Addresses of proxies; daemon.json's `proxies`."""

    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""

    def of(self, scheme: str, host: str, port: int) -> str:
        """The proxy for a host; empty for none."""
        found = self.https_proxy if scheme == "https" else self.http_proxy
        return "" if not found or _direct(host, port, self.no_proxy) else found


def check(url: str) -> str:
    """A proxy's address. Raises InvalidParameter."""
    whole = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(whole)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise InvalidParameter(f"invalid proxy {shown(url)}: http://host:port or https://host:port is meant")
    return whole


def parted(url: str) -> tuple[str, str]:
    """(address without credentials, `user:password`)."""
    parts = urlsplit(check(url))
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    port = f":{parts.port}" if parts.port else ""
    who = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
    return f"{parts.scheme}://{host}{port}", who


def shown(url: str) -> str:
    """As dockerd shows it: without credentials."""
    scheme, separator, rest = url.rpartition("://")
    who, at, host = rest.rpartition("@")
    return f"{scheme}{separator}xxxxx:xxxxx@{host}" if at and who else url


def _direct(host: str, port: int, no_proxy: str) -> bool:
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_fits(item.strip().lower(), host.lower(), port, address) for item in no_proxy.split(","))


def _fits(
    item: str, host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None
) -> bool:
    if not item or item == "*":
        return item == "*"
    if "/" in item:
        try:
            return address is not None and address in ipaddress.ip_network(item, strict=False)
        except ValueError:
            return False
    if _address(item) is None and ":" in item:
        item, _, wanted = item.rpartition(":")
        if wanted.isascii() and wanted.isdigit() and int(wanted) != port:
            return False
    named = _address(item.strip("[]"))
    if named is not None:
        return named == address
    domain = item.removeprefix("*")
    return host.endswith(domain) if domain.startswith(".") else host == domain or host.endswith(f".{domain}")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
