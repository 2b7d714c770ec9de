"""What ~/.docker/config.json says in place of a flag that was not given: formats, detach keys, proxies.

Source: docker(1), "CONFIGURATION FILES"; Docker's manual, "Use a proxy server with the Docker CLI". Headers
of each request (HttpHeaders) are asked for by session.py.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

_FORMATS = {
    "ps": "psFormat", "images": "imagesFormat", "stats": "statsFormat", "network ls": "networksFormat",
    "volume ls": "volumesFormat", "plugin ls": "pluginsFormat",
}  # fmt: skip
_PROXIES = {
    "httpProxy": "HTTP_PROXY", "httpsProxy": "HTTPS_PROXY", "noProxy": "NO_PROXY", "ftpProxy": "FTP_PROXY",
    "allProxy": "ALL_PROXY",
}  # fmt: skip
_VARIABLES = {"run": "env", "create": "env", "build": "build-arg"}


def apply(document: dict[str, Any], path: str, flags: Flags, session: Session) -> None:
    """Set the flags of a command that was not told otherwise."""
    form = _text(document, _FORMATS.get(path, ""))
    if form and "format" not in flags.given and not flags.get("quiet") and not flags.get("tree"):
        flags["format"] = form
    keys = _text(document, "detachKeys")
    if keys and "detach-keys" in flags and "detach-keys" not in flags.given:
        flags["detach-keys"] = keys
    if path in _VARIABLES:
        flags[_VARIABLES[path]] += _proxies(document, flags[_VARIABLES[path]], session)


def headers(document: dict[str, Any]) -> dict[str, str]:
    """HttpHeaders; the name of the client is its own."""
    found = document.get("HttpHeaders")
    if not isinstance(found, dict):
        return {}
    return {str(name): str(value) for name, value in found.items() if str(name).lower() != "user-agent"}


def _proxies(document: dict[str, Any], given: list[str], session: Session) -> list[str]:
    """NAME=VALUE in both spellings, for what the user did not set; those of this engine, or the default."""
    listed = document.get("proxies")
    if not isinstance(listed, dict):
        return []
    chosen = listed.get(session.address().url, listed.get("default"))
    if not isinstance(chosen, dict):
        return []
    names = {word.partition("=")[0] for word in given}
    found = []
    for key, name in _PROXIES.items():
        value = chosen.get(key)
        if isinstance(value, str) and value:
            found += [f"{one}={value}" for one in (name, name.lower()) if one not in names]
    return found


def _text(document: dict[str, Any], key: str) -> str:
    value = document.get(key, "") if key else ""
    return value if isinstance(value, str) else ""
