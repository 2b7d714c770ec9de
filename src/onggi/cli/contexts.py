"""Contexts: named addresses of engines, as Docker's client keeps them, so that both know the same ones.

    ~/.docker/config.json                            currentContext
    ~/.docker/contexts/meta/<sha256 of name>/meta.json   Name, Metadata.Description, Endpoints.docker.Host
    ~/.docker/contexts/tls/<sha256>/docker/          ca.pem, cert.pem, key.pem, mode 0600

A context is written beside its place and renamed into it. `default` is none of these: it is what DOCKER_HOST,
or the default socket, says. Source: Docker's documentation of contexts.
"""

from __future__ import annotations

import hashlib
import os
import shutil

from onggi import jsontext
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT = "default"
OF_DEFAULT = "Current DOCKER_HOST based configuration"
TLS_FILES = {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
# Of `context create` and `context update`.
FLAGS = (
    ("description", "", "string", "", "Description of the context"),
    (
        "docker",
        "",
        "list",
        None,
        "The engine: host=URL[,ca=FILE][,cert=FILE][,key=FILE][,skip-tls-verify=BOOL]",
    ),
)
_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_REST = _FIRST | frozenset("_.+-")
_KEYS = frozenset(("host", "ca", "cert", "key", "skip-tls-verify", "from"))


class Context:
    """One context; `tls` is kind (ca, cert, key) -> bytes."""

    def __init__(
        self, name: str, host: str, description: str, tls: dict[str, bytes], *, skip_verify: bool
    ) -> None:
        self.name = name
        self.host = host
        self.description = description
        self.tls = tls
        self.skip_verify = skip_verify

    def document(self) -> dict[str, Any]:
        """The content of meta.json."""
        metadata = {"Description": self.description} if self.description else {}
        endpoint = {"Host": self.host, "SkipTLSVerify": self.skip_verify}
        return {"Name": self.name, "Metadata": metadata, "Endpoints": {"docker": endpoint}}


def check_name(name: str) -> None:
    """Raises CommandError."""
    if name == DEFAULT:
        raise CommandError(f'"{DEFAULT}" is a reserved context name')
    if len(name) < 2 or name[0] not in _FIRST or not set(name) <= _REST:
        raise CommandError(
            f'context name "{name}" is invalid, names are validated against regexp '
            '"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"'
        )


def _id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def meta_dir(config_dir: str, name: str) -> str:
    return f"{config_dir}/contexts/meta/{_id(name)}"


def tls_dir(config_dir: str, name: str) -> str:
    return f"{config_dir}/contexts/tls/{_id(name)}"


def exists(config_dir: str, name: str) -> bool:
    return os.path.exists(f"{meta_dir(config_dir, name)}/meta.json")


def read(config_dir: str, name: str) -> Context:
    """Raises CommandError where there is no such context."""
    check_name(name)
    path = f"{meta_dir(config_dir, name)}/meta.json"
    try:
        return _read(config_dir, path)
    except FileNotFoundError:
        raise CommandError(
            f'context "{name}": context not found: open {path}: no such file or directory'
        ) from None


def _read(config_dir: str, path: str) -> Context:
    with open(path, "rb") as file:
        text = file.read()
    try:
        document = jsontext.loads(text)
        name = document["Name"]
        endpoint = (document.get("Endpoints") or {}).get("docker") or {}
        return Context(
            name,
            endpoint.get("Host") or "",
            (document.get("Metadata") or {}).get("Description") or "",
            _read_tls(f"{tls_dir(config_dir, name)}/docker"),
            skip_verify=bool(endpoint.get("SkipTLSVerify")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CommandError(f"{path}: not the description of a context") from None


def _read_tls(directory: str) -> dict[str, bytes]:
    found = {}
    for kind, name in TLS_FILES.items():
        try:
            with open(f"{directory}/{name}", "rb") as file:
                found[kind] = file.read()
        except FileNotFoundError:
            continue
    return found


def all_of(config_dir: str) -> list[Context]:
    """All that were made, by name."""
    try:
        directories = os.listdir(f"{config_dir}/contexts/meta")
    except FileNotFoundError:
        return []
    found = []
    for directory in directories:
        try:
            found.append(_read(config_dir, f"{config_dir}/contexts/meta/{directory}/meta.json"))
        except (FileNotFoundError, NotADirectoryError):
            continue
    return sorted(found, key=lambda context: context.name)


def write(config_dir: str, context: Context) -> None:
    """Keys first: with meta.json the context is there."""
    directory = tls_dir(config_dir, context.name)
    shutil.rmtree(directory, ignore_errors=True)
    for kind, content in context.tls.items():
        os.makedirs(f"{directory}/docker", mode=0o700, exist_ok=True)
        replace_file(f"{directory}/docker/{TLS_FILES[kind]}", content, 0o600)
    os.makedirs(meta_dir(config_dir, context.name), mode=0o755, exist_ok=True)
    text = jsontext.dumps(context.document()).encode("utf-8", "surrogateescape")
    replace_file(f"{meta_dir(config_dir, context.name)}/meta.json", text, 0o644)


def replace_file(path: str, content: bytes, mode: int) -> None:
    """Write beside the file and rename."""
    beside = f"{path}.{os.getpid()}"
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(fd, "wb") as file:
            file.write(content)
        os.rename(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def remove(config_dir: str, name: str) -> None:
    shutil.rmtree(meta_dir(config_dir, name), ignore_errors=True)
    shutil.rmtree(tls_dir(config_dir, name), ignore_errors=True)


def endpoint(pairs: dict[str, str], before: Context) -> None:
    """Change a context by the words of --docker (host=..., ca=FILE, ...). Raises CommandError."""
    for key in pairs:
        if key not in _KEYS:
            raise CommandError(f"unable to create docker endpoint config: unrecognized config key: {key}")
    before.host = pairs.get("host", before.host)
    skip = pairs.get("skip-tls-verify", "")
    if skip and skip.lower() not in ("true", "false", "1", "0"):
        raise CommandError(f'skip-tls-verify: strconv.ParseBool: parsing "{skip}": invalid syntax')
    before.skip_verify = skip.lower() in ("true", "1")
    for kind in TLS_FILES:
        if path := pairs.get(kind, ""):
            try:
                with open(path, "rb") as file:
                    before.tls[kind] = file.read()
            except OSError as error:
                raise CommandError(
                    f"unable to create docker endpoint config: open {path}: {(error.strerror or '').lower()}"
                ) from None


def pairs_of(words: list[str]) -> dict[str, str]:
    """`host=a,ca=b`, as often as it was given. Raises CommandError."""
    found = {}
    for word in words:
        for part in word.split(","):
            key, equals, value = part.partition("=")
            if not equals:
                raise CommandError(
                    f'invalid argument "{word}" for "--docker" flag: {part} must be formatted as key=value'
                )
            found[key.strip()] = value
    return found
