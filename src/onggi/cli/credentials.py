"""Who we are to registries: ~/.docker/config.json and the credential helpers that it names.

    {"auths": {"HOST": {"auth": "base64 of user:password", "identitytoken": "..."}},
     "credsStore": "NAME", "credHelpers": {"HOST": "NAME"}}

A helper is the program docker-credential-NAME: `get`, `store` and `erase` with the server on its stdin, so
nothing secret is ever in an argument. Where one is named for a host, config.json itself holds
no secret of it. Docker Hub's host is written https://index.docker.io/v1/. The file is replaced whole, with
mode 0600.
"""

from __future__ import annotations

import binascii
import os

from onggi import jsontext
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.session import Session

HUB = "https://index.docker.io/v1/"
TOKEN_USER = "<token>"


def server_of(image: str) -> str:
    """The key of an image's registry."""
    host, slash, _ = image.partition("/")
    hosted = slash and (any(mark in host for mark in ".:") or host == "localhost")
    return server(host if hosted else "")


def server(text: str) -> str:
    """The key that a registry has in the file: a host, or Docker Hub's address."""
    host = _host(text)
    return HUB if host in ("", "docker.io", "index.docker.io", "registry-1.docker.io") else host


def header(session: Session, image: str) -> str:
    """X-Registry-Auth for the image's registry."""
    key = server_of(image)
    return encode(lookup(session, key))


def everything(session: Session) -> str:
    """X-Registry-Config: what is known of every registry, for a build, which may ask any of them."""
    return encode(_all(session))


def known(session: Session) -> dict[str, dict[str, str]]:
    """Every registry where somebody is logged in, with what it is told. Raises CommandError."""
    return {key: found for key, found in _all(session).items() if found}


def _all(session: Session) -> dict[str, dict[str, str]]:
    document = _read(session)
    keys = {*(document.get("auths") or {}), *(document.get("credHelpers") or {})}
    return {key: lookup(session, key) for key in sorted(keys)}


def encode(found: dict[str, Any]) -> str:
    text = binascii.b2a_base64(jsontext.dumps(found).encode(), newline=False)
    return text.translate(bytes.maketrans(b"+/", b"-_")).decode()


def lookup(session: Session, key: str) -> dict[str, str]:
    """An AuthConfig, empty where nobody is logged in. Raises CommandError for a file that is no JSON."""
    document = _read(session)
    helper = _helper(document, key)
    if helper:
        return _from_helper(helper, key)
    entry = _entry(document, key)
    if entry is None:
        return {}
    found = {name: str(entry[name]) for name in ("identitytoken", "registrytoken") if entry.get(name)}
    if entry.get("auth"):
        try:
            pair = binascii.a2b_base64(entry["auth"]).decode()
        except (binascii.Error, ValueError):
            raise CommandError(f"{_path(session)}: auth of {key} is not base64") from None
        found["username"], _, found["password"] = pair.partition(":")
    return {**found, "serveraddress": key} if found else {}


def store(session: Session, key: str, username: str, password: str, token: str) -> bool:
    """Keep what a login used; whether it lies unencrypted in the file. Raises CommandError."""
    document = _read(session)
    helper = _helper(document, key)
    auths = document.setdefault("auths", {})
    if helper:
        secret = {
            "ServerURL": key,
            "Username": TOKEN_USER if token else username,
            "Secret": token or password,
        }
        _run(helper, "store", jsontext.dumps(secret))
        auths[key] = {}
    else:
        kept = "" if token else password
        pair = binascii.b2a_base64(f"{username}:{kept}".encode(), newline=False).decode()
        auths[key] = {"auth": pair, **({"identitytoken": token} if token else {})}
    _write(session, document)
    return not helper


def erase(session: Session, key: str) -> bool:
    """Forget; whether there was anything. Raises CommandError."""
    document = _read(session)
    helper = _helper(document, key)
    known = [name for name in document.get("auths") or {} if name == key or _host(name) == _host(key)]
    if helper:
        _run(helper, "erase", key)
    for name in known:
        del document["auths"][name]
    if known:
        _write(session, document)
    return bool(known)


def _path(session: Session) -> str:
    return f"{session.config_dir()}/config.json"


def _read(session: Session) -> dict[str, Any]:
    try:
        with open(_path(session), encoding="utf-8") as file:
            found = jsontext.loads(file.read())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise CommandError(f"Error loading config file: {_path(session)}: {error}") from None
    if not isinstance(found, dict):
        raise CommandError(f"Error loading config file: {_path(session)}: it is no JSON object")
    return found


def _write(session: Session, document: dict[str, Any]) -> None:
    path = os.path.realpath(_path(session))
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        temporary = f"{path}.{os.getpid()}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(jsontext.dumps(document) + "\n")
        os.replace(temporary, path)
    except OSError as error:
        raise CommandError(f"Error saving credentials: {path}: {error.strerror}") from None


def _helper(document: dict[str, Any], key: str) -> str:
    """Docker's order: the host's own, else the one for all."""
    found = (document.get("credHelpers") or {}).get(_host(key)) or document.get("credsStore") or ""
    if "/" in found:
        raise CommandError(f"invalid credential helper {found!r}")
    return str(found)


def _entry(document: dict[str, Any], key: str) -> dict[str, Any] | None:
    auths: dict[str, Any] = document.get("auths") or {}
    if key in auths:
        return auths[key] or {}
    return next((entry or {} for name, entry in auths.items() if _host(name) == _host(key)), None)


def _host(text: str) -> str:
    rest = text.partition("://")[2] if "://" in text else text
    return rest.partition("/")[0]


def _from_helper(helper: str, key: str) -> dict[str, str]:
    answer = _run(helper, "get", key, missing_is_nobody=True)
    if not answer:
        return {}
    try:
        found = jsontext.loads(answer)
        username, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"docker-credential-{helper} get: its answer is no credential") from None
    if username == TOKEN_USER:
        return {"identitytoken": secret, "serveraddress": key}
    return {"username": username, "password": secret, "serveraddress": key}


def _run(helper: str, verb: str, given: str, *, missing_is_nobody: bool = False) -> str:
    import subprocess  # only where a helper is named: its import costs 14 ms

    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run([program, verb], input=given.encode(), capture_output=True, check=False)
    except OSError as error:
        raise CommandError(f"error getting credentials - {program}: {error.strerror}") from None
    text = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode:
        if "credentials not found" in text:
            if missing_is_nobody:
                return ""
            return text
        raise CommandError(f"error getting credentials - {program} {verb}: {text[:200]}")
    return text
