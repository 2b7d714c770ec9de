"""Files that flags name: variables and labels line by line, seccomp profiles."""

from __future__ import annotations

import os

from onggi.cli.errors import CommandError


def read(path: str) -> str:
    """The text of a file; a failure in Go's words. Raises CommandError."""
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8")
    except OSError as error:
        raise CommandError(f"open {path}: {reason(error)}") from None
    except UnicodeDecodeError as error:
        raise CommandError(f"invalid env file ({path}): invalid utf8 bytes at byte {error.start}") from None


def reason(error: OSError) -> str:
    """An errno's text as Go writes it."""
    return (error.strerror or str(error)).lower()


def pairs(paths: list[str], *, environment: bool) -> list[str]:
    """`A=b` lines of all files; `#` begins a comment. A bare variable takes its value from here, or is
    left out.
    """
    found = []
    for path in paths:
        for line in read(path).removeprefix("\ufeff").split("\n"):
            line = line.rstrip("\r").lstrip(" \t")
            if not line or line.startswith("#"):
                continue
            name, equals, value = line.partition("=")
            if environment and any(letter in " \t" for letter in name):
                raise CommandError(f"invalid env file ({path}): variable '{name}' contains whitespaces")
            if not name:
                raise CommandError(f"invalid env file ({path}): no variable name on line '{line}'")
            if equals:
                found.append(f"{name}={value}")
            elif not environment:
                found.append(name)
            elif name in os.environ:
                found.append(f"{name}={os.environ[name]}")
    return found
