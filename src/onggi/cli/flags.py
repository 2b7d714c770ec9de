"""The words of a command line, by pflag's rules.

A flag is a row (name, shorthand, kind, default, help). Kinds are those of values.py; what stands before a
colon is what help shows (`list:env` is a list whose items are checked as environment variables);
`alias:NAME` is another spelling of NAME; a row whose help is empty is not shown.

    -it            two switches            -p80:80  -p=80:80  -p 80:80     a shorthand's value
    --tail=5       --tail 5                --rm=false                      a long flag's
    --             ends the flags          -                               is an argument
Commands that run another command stop at their first argument (`interspersed` is false).
"""

from __future__ import annotations

from onggi.cli import values
from onggi.cli.errors import FlagError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Row = tuple[str, str, str, object, str]


class HelpWanted(Exception):
    """--help was among the words."""


class Flags(dict[str, object]):
    """Name -> value, defaults included; `given` has the names that the user wrote."""

    given: set[str]

    def __getitem__(self, name: str) -> Any:
        return super().__getitem__(name)


def parse(
    rows: tuple[Row, ...], words: list[str], *, interspersed: bool = True, path: str = ""
) -> tuple[Flags, list[str]]:
    """Split words into flags and arguments. Raises FlagError, HelpWanted."""
    long = {row[0]: row for row in rows}
    short = {row[1]: row for row in rows if row[1]}
    found = Flags()
    found.given = set()
    for name, _, kind, default, _ in rows:
        if not kind.startswith("alias:"):
            found[name] = [] if kind.partition(":")[0] in values.REPEATED else default
    arguments: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            arguments += words[at:]
            break
        if len(word) < 2 or word[0] != "-":
            arguments.append(word)
            if not interspersed:
                arguments += words[at:]
                break
        elif word.startswith("--"):
            at = _long(word, words, at, long, found)
        else:
            at = _shorts(word, words, at, long, short, found)
    return found, arguments


def _long(word: str, words: list[str], at: int, rows: dict[str, Row], found: Flags) -> int:
    name, equals, value = word[2:].partition("=")
    if not name or name.startswith("-"):
        raise FlagError(f"bad flag syntax: {word}")
    row = rows.get(name)
    if name == "help":
        raise HelpWanted
    if row is None:
        raise FlagError(f"unknown flag: --{name}")
    row = _target(row, rows)
    if not equals:
        if row[2] == "bool":
            value = "true"
        elif at < len(words):
            value, at = words[at], at + 1
        else:
            raise FlagError(f"flag needs an argument: --{name}")
    _set(found, row, value)
    return at


def _shorts(
    word: str, words: list[str], at: int, long: dict[str, Row], short: dict[str, Row], found: Flags
) -> int:
    letters = word[1:]
    while letters:
        row = short.get(letters[0])
        if row is None:
            if letters[0] == "h":
                raise HelpWanted
            raise FlagError(f"unknown shorthand flag: '{letters[0]}' in -{letters}")
        row = _target(row, long)
        rest = letters[1:]
        if rest.startswith("="):
            _set(found, row, rest[1:])
            return at
        if row[2] == "bool":
            _set(found, row, "true")
            letters = rest
            continue
        if rest:
            _set(found, row, rest)
            return at
        if at >= len(words):
            raise FlagError(f"flag needs an argument: '{letters[0]}' in -{letters}")
        _set(found, row, words[at])
        return at + 1
    return at


def _target(row: Row, rows: dict[str, Row]) -> Row:
    return rows[row[2][6:]] if row[2].startswith("alias:") else row


def _set(found: Flags, row: Row, text: str) -> None:
    name, short, kind, _, _ = row
    try:
        value = values.parse(kind, text)
    except ValueError as error:
        label = f"-{short}, --{name}" if short else f"--{name}"
        raise FlagError(f'invalid argument "{text}" for "{label}" flag: {error}') from None
    if kind == "strings":
        found[name] += text.split(",")
    elif kind.partition(":")[0] in values.REPEATED:
        found[name].append(value)
    else:
        found[name] = value
    found.given.add(name)
