"""Dockerfile instructions that change a configuration: `--change` of import and commit.

CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR, in Docker's syntax; the JSON
form of a command is taken as it is, the other one goes to `/bin/sh -c`.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Callable

import msgspec

from onggi.errors import InvalidParameter
from onggi.spec.image import Config


def apply(config: Config, changes: list[str]) -> Config:
    """The configuration after each change in turn. Raises InvalidParameter, naming the instruction."""
    for change in changes:
        for line in filter(None, map(str.strip, change.splitlines())):
            word, _, rest = line.partition(" ")
            known = VERBS.get(word.upper())
            if known is None:
                raise InvalidParameter(f"{word.lower()} is not a valid change command")
            if not rest.strip():
                raise InvalidParameter(f"{word.upper()} requires at least one argument: {line!r}")
            config = known(config, rest.strip())
    return config


def _command(text: str) -> list[str]:
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.DecodeError:
        return ["/bin/sh", "-c", text]


def _words(text: str) -> list[str]:
    try:
        return msgspec.json.decode(text, type=list[str])
    except msgspec.DecodeError:
        pass
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidParameter(f"{text!r}: {error}") from None


def _pairs(text: str) -> list[tuple[str, str]]:
    """`A=1 B="two words"`, or the old form `A the rest`."""
    first, _, rest = text.partition(" ")
    if "=" not in first:
        return [(first, rest.strip())]
    pairs = [word.partition("=") for word in _words(text)]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise InvalidParameter(f"Syntax error - can't find = in {key!r}. Must be of the form: name=value")
    return [(key, value) for key, _, value in pairs]


def _env(config: Config, text: str) -> Config:
    merged = {item.partition("=")[0]: item for item in config.env or []}
    merged.update({key: f"{key}={value}" for key, value in _pairs(text)})
    return msgspec.structs.replace(config, env=list(merged.values()))


def _cmd(config: Config, text: str) -> Config:
    return msgspec.structs.replace(config, cmd=_command(text))


def _entrypoint(config: Config, text: str) -> Config:
    return msgspec.structs.replace(config, entrypoint=_command(text))


def _expose(config: Config, text: str) -> Config:
    ports = dict(config.exposed_ports or {})
    for word in text.split():
        port, _, protocol = word.partition("/")
        if (
            not port.isdigit()
            or not 0 < int(port) < 65536
            or protocol.lower() not in ("", "tcp", "udp", "sctp")
        ):
            raise InvalidParameter(f"invalid containerPort: {word}")
        ports[f"{int(port)}/{protocol.lower() or 'tcp'}"] = {}
    return msgspec.structs.replace(config, exposed_ports=ports)


def _label(config: Config, text: str) -> Config:
    return msgspec.structs.replace(config, labels={**(config.labels or {}), **dict(_pairs(text))})


def _on_build(config: Config, text: str) -> Config:
    return msgspec.structs.replace(config, on_build=[*(config.on_build or []), text])


def _stop_signal(config: Config, text: str) -> Config:
    return msgspec.structs.replace(config, stop_signal=text)


def _user(config: Config, text: str) -> Config:
    return msgspec.structs.replace(config, user=text)


def _volume(config: Config, text: str) -> Config:
    volumes = {**(config.volumes or {}), **{path: {} for path in _words(text)}}
    return msgspec.structs.replace(config, volumes=volumes)


def _workdir(config: Config, text: str) -> Config:
    path = posixpath.normpath(posixpath.join("/", config.working_dir, text))
    return msgspec.structs.replace(config, working_dir=path)


VERBS: dict[str, Callable[[Config, str], Config]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": _label,
    "ONBUILD": _on_build,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
