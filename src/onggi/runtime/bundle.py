"""A bundle: a directory with config.json and a root file system.

Source: OCI runtime specification 1.2, bundle.md, config.md.
"""

from __future__ import annotations

import os

from onggi.errors import InvalidParameter
from onggi.jsontext import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def directory(option: str) -> str:
    """The bundle's directory as an absolute path; empty is the current one."""
    path = os.path.abspath(option or ".")
    if not os.path.isdir(path):
        raise InvalidParameter(f"bundle {path}: no such directory")
    return path


def document(bundle_dir: str) -> dict[str, Any]:
    """config.json. Raises InvalidParameter where it is missing or no JSON object."""
    return read(f"{bundle_dir}/config.json", "JSON specification file config.json not found")


def read(path: str, missing: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found = loads(file.read())
    except FileNotFoundError:
        raise InvalidParameter(f"{missing}: {path}") from None
    except ValueError as error:
        raise InvalidParameter(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise InvalidParameter(f"{path}: not a JSON object")
    return found


def rootfs(config: dict[str, Any], bundle_dir: str) -> str:
    root = config.get("root") or {}
    return os.path.normpath(os.path.join(bundle_dir, str(root.get("path", ""))))


def process(config: dict[str, Any]) -> dict[str, Any]:
    found = config.get("process")
    if not isinstance(found, dict):
        raise InvalidParameter("process: config.json has no process to start")
    return found
