"""The words of -v as the command line reads them before the engine: docker/cli, compose/loader/volume.go."""

from __future__ import annotations

import os

from onggi.cli.errors import CommandError


def parse(word: str) -> tuple[str, bool]:
    """(the words for the engine, has it a source?). A relative path of the host becomes absolute.

    Raises CommandError in Docker's words.
    """
    if not word:
        raise CommandError("invalid empty volume spec")
    sections = _sections(word)
    if len(sections) < 2:
        return word, False
    host, _, rest = word.partition(":")
    if host.startswith("."):
        host = os.path.abspath(host)
    return f"{host}:{rest}", True


def _sections(word: str) -> list[str]:
    """What is between the colons; one letter and a colon are a drive of Windows. idmap has its own colons."""
    if len(word) < 3:
        return [word]
    found: list[str] = []
    section = ""
    for letter in _without_maps(word) + "\0":
        if (letter == ":" and len(section) == 1 and section.isalpha()) or letter not in ":\0":
            section += letter
        else:
            if not section:
                raise CommandError(f"invalid spec: {word}: empty section between colons")
            if len(found) == 2 and letter == ":":
                raise CommandError(f"invalid spec: {word}: too many colons")
            found.append(section)
            section = ""
    return found


def _without_maps(word: str) -> str:
    """Without the ids of `idmap=...`, which is a mode: after the second colon."""
    places, _, modes = word.rpartition("idmap=")
    if places.count(":") < 2:
        return word
    return f"{places}idmap,{modes.partition(',')[2]}"
