"""hosts.toml, as containerd reads it: `<certs dir>/HOST[:PORT]/hosts.toml`, or `_default/hosts.toml`.

    server = "https://registry-1.docker.io"
    [host."https://mirror.example"]
      capabilities = ["pull", "resolve"]     push too, where it is not given
      ca = "/path/ca.pem"                    one, or a list
      client = [["/path/cert.pem", "/path/key.pem"]]
      skip_verify = false
      override_path = false                  true: the URL is the whole base, no /v2 is added
      [host."https://mirror.example".header]
        x-team = "a"

Source: containerd's docs/hosts.md. Hosts are asked in the file's order, then `server`.
"""

from __future__ import annotations

import os
import tomllib
from typing import Any

from onggi.errors import InvalidParameter
from onggi.registry.endpoints import ALL, TLS, Endpoint, Settings, certificates, host_of


def endpoints(domain: str, settings: Settings) -> list[Endpoint] | None:
    """What a file says of a domain; None where there is none. Raises InvalidParameter, naming the file."""
    for directory in settings.certs_dirs:
        for name in dict.fromkeys((domain, host_of(domain), "_default")):
            path = f"{directory}/{name}/hosts.toml"
            if os.path.exists(path):
                return _read(path, domain, settings)
    return None


def _read(path: str, domain: str, settings: Settings) -> list[Endpoint]:
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidParameter(f"{path}: {error}") from None
    hosts = document.get("host", {})
    if not isinstance(hosts, dict):
        raise InvalidParameter(f"{path}: host is not a table")
    found = [_endpoint(path, url, table, domain, settings, mirror=True) for url, table in hosts.items()]
    server = document.get("server") or f"https://{host_of(domain)}"
    own = {key: value for key, value in document.items() if key not in ("server", "host")}
    found.append(_endpoint(path, server, own, domain, settings, mirror=False))
    return found


def _endpoint(
    path: str, url: object, table: Any, domain: str, settings: Settings, *, mirror: bool
) -> Endpoint:
    if not isinstance(url, str) or not isinstance(table, dict):
        raise InvalidParameter(f"{path}: {url!r} is not a host with a table of settings")
    base = url if "://" in url else f"https://{url}"
    if not base.startswith(("http://", "https://")):
        raise InvalidParameter(f"{path}: {url!r} is neither http nor https")
    host = base.partition("://")[2].partition("/")[0]
    capabilities = frozenset(table.get("capabilities", ALL))
    if not capabilities <= ALL:
        raise InvalidParameter(f"{path}: unknown capability {sorted(capabilities - ALL)[0]!r} of {url}")
    beside = certificates(host, settings.certs_dirs, verify=not table.get("skip_verify", False))
    bare = bool(table.get("override_path", False))
    return Endpoint(
        base.rstrip("/") if bare else base.rstrip("/").removesuffix("/v2"),
        TLS(
            beside.verify,
            beside.authorities + tuple(_paths(path, table.get("ca"))),
            beside.clients + tuple(_pairs(path, table.get("client"))),
        ),
        mirror=mirror,
        capabilities=capabilities,
        headers=tuple(_headers(path, table.get("header", {}))),
        bare=bare,
        domain=domain,
    )


def _paths(path: str, value: object) -> list[str]:
    listed = [value] if isinstance(value, str) else value or []
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise InvalidParameter(f"{path}: ca is neither a path nor a list of paths")
    return [_beside(path, item) for item in listed]


def _pairs(path: str, value: object) -> list[tuple[str, str]]:
    if value is None:
        return []
    listed = value if isinstance(value, list) else [value]
    if len(listed) == 2 and all(isinstance(item, str) for item in listed):
        listed = [listed]
    found = []
    for item in listed:
        pair = [item, item] if isinstance(item, str) else item
        if not isinstance(pair, list) or len(pair) != 2:
            raise InvalidParameter(f"{path}: client is not a list of pairs of certificate and key")
        found.append((_beside(path, str(pair[0])), _beside(path, str(pair[1]))))
    return found


def _headers(path: str, value: object) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        raise InvalidParameter(f"{path}: header is not a table")
    found = []
    for name, given in value.items():
        for item in given if isinstance(given, list) else [given]:
            text = str(item)
            if any(letter in name + text for letter in "\r\n") or name.lower() in ("host", "authorization"):
                raise InvalidParameter(f"{path}: the header {name!r} cannot be set")
            found.append((name, text))
    return found


def _beside(path: str, name: str) -> str:
    return name if name.startswith("/") else f"{os.path.dirname(path)}/{name}"
