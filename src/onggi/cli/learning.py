"""run --security-learn FILE|DIR: what the container used, written so that the next run takes it.

    FILE                the seccomp profile, for --security-opt seccomp=FILE
    DIR/seccomp.json    the same; DIR/learned.json: everything, as the engine told it

The flags of the next run are told on stderr.
"""

from __future__ import annotations

import os

from onggi import jsontext
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.session import Session


EMPTY = ("/tmp", "/run", "/var/tmp", "/var/run", "/run/lock")


def save(session: Session, target: str, identifier: str, image: str) -> None:
    """Raises CommandError, Refused."""
    found = session.engine.get(f"/containers/{identifier}/learned")
    profile = target
    if target.endswith("/") or os.path.isdir(target):
        profile = os.path.join(target, "seccomp.json")
        _write(os.path.join(target, "learned.json"), found)
    _write(profile, found["Seccomp"])
    session.err("To run it with nothing else:\n  " + " ".join(flags(found, profile)) + f" {image}")


def flags(found: dict[str, Any], profile: str) -> list[str]:
    """The words of the next run."""
    words = ["--security-opt", f"seccomp={profile}", "--cap-drop", "ALL"]
    for name in found["Capabilities"]:
        words += ["--cap-add", name]
    if "/" not in found["Writable"]:
        words.append("--read-only")
        for path in found["Writable"]:
            words += [
                "--tmpfs" if path in EMPTY else "-v",
                path,
            ]  # a volume begins with what the image has there
    return words


def _write(path: str, document: Any) -> None:
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(jsontext.dumps(document) + "\n")
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
