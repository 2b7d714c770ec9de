"""~/.docker/config.json, shared with Docker's client: read as a whole, changed one key at a time."""

from __future__ import annotations

import os

from onggi import jsontext
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def read(config_dir: str) -> dict[str, Any]:
    """Empty where there is none. Raises CommandError where it is no JSON object."""
    path = f"{config_dir}/config.json"
    try:
        with open(path, "rb") as file:
            text = file.read()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    try:
        document = jsontext.loads(text) if text.strip() else {}
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from None
    if not isinstance(document, dict):
        raise CommandError(f"{path}: not a JSON object")
    return document


def set_key(config_dir: str, key: str, value: str) -> None:
    """Write one key, or leave it out where `value` is empty; what else is there stays."""
    from onggi.cli.contexts import replace_file

    document = read(config_dir)
    document.pop(key, None)
    if value:
        document[key] = value
    os.makedirs(config_dir, mode=0o700, exist_ok=True)
    path = os.path.realpath(f"{config_dir}/config.json")
    replace_file(path, indented(document).encode("utf-8", "surrogateescape"), 0o600)


def indented(document: dict[str, Any]) -> str:
    from onggi.cli.inspection import indent

    return indent(jsontext.dumps(document)) + "\n"
