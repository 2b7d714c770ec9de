"""The words of --secret and --config: `name`, or `source=name,target=path,uid=0,gid=0,mode=0440`.

podman's form (the name first) and that of docker service create (source=) are both taken; so is
`type=env`, where target is the variable's name.
"""

from __future__ import annotations

from onggi.cli.options.csv import fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NAMES = {"src": "source", "dst": "target", "destination": "target"}


def secret(text: str) -> dict[str, Any]:
    """One of HostConfig.Secrets. Raises ValueError."""
    words = _words(text)
    kind = words.pop("type", "mount")
    found: dict[str, Any] = {"SecretName": words["source"]}
    if kind == "env":
        unfit = sorted(words.keys() & {"uid", "gid", "mode"})
        if unfit:
            raise ValueError(f"{unfit[0]} is not for secrets of type=env")
        found["Environment"] = words.get("target") or words["source"]
    elif kind == "mount":
        found["File"] = _file(words)
    else:
        raise ValueError(f"invalid type {kind!r}: must be mount or env")
    return found


def config(text: str) -> dict[str, Any]:
    """One of HostConfig.Configs. Raises ValueError."""
    words = _words(text)
    if "type" in words:
        raise ValueError("invalid field: type")
    return {"ConfigName": words["source"], "File": _file(words)}


def _words(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, field in enumerate(fields(text)):
        name, equals, value = field.partition("=")
        if not equals:
            if number:
                raise ValueError(f"invalid field '{field}' must be a key=value pair")
            name, value = "source", field
        name = name.lower()
        name = _NAMES.get(name, name)
        if name not in ("source", "target", "uid", "gid", "mode", "type"):
            raise ValueError(f"invalid field in secret request: {name}")
        found[name] = value
    if not found.get("source"):
        raise ValueError("source is required")
    return found


def _file(words: dict[str, str]) -> dict[str, Any]:
    mode = words.get("mode", "0444")
    if not mode or not all(digit in "01234567" for digit in mode):
        raise ValueError(f"invalid mode specified: {mode!r} is not an octal number")
    return {
        "Name": words.get("target", ""),
        "UID": words.get("uid", "0"),
        "GID": words.get("gid", "0"),
        "Mode": int(mode, 8),
    }
