"""Help pages, grouped as Docker's, from the tables of commands and flags; names close to a wrong one."""

from __future__ import annotations

import os
import sys

from onggi.cli import tree
from onggi.cli.program import NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Row

TABLE_FORMAT = (
    "How to print:\n'table':            columns with a first line (default)\n"
    "'table TEMPLATE':   columns of a Go template\n'json':             one JSON document a line\n"
    "'TEMPLATE':         a Go template"
)
OBJECT_FORMAT = "How to print:\n'json':             JSON\n'TEMPLATE':         a Go template"
_REPEATED = ("list", "filter", "strings", "mount", "network", "secret", "config")


def top_page() -> str:
    from onggi.cli.main import GLOBAL_FLAGS

    own = [path for path in tree.COMMANDS if " " not in path and path not in tree.COMMON]
    return "\n".join([
        f"Usage:  {NAME} [OPTIONS] COMMAND",
        "",
        "Containers, images and volumes on this machine",
        "",
        "Common Commands:",
        *_commands({path: tree.COMMANDS[path][2] for path in tree.COMMON}),
        "",
        "Management Commands:",
        *_commands(tree.NOUNS),
        "",
        "Commands:",
        *_commands({path: tree.COMMANDS[path][2] for path in sorted(own)}),
        "",
        "Global Options:",
        *options(GLOBAL_FLAGS),
        "",
        f"Run '{NAME} COMMAND --help' for more information on a command.",
    ])  # fmt: skip


def noun_page(noun: str) -> str:
    return "\n".join([
        f"Usage:  {NAME} {noun} COMMAND",
        "",
        tree.NOUNS[noun],
        "",
        "Commands:",
        *_commands(verbs(noun)),
        "",
        f"Run '{NAME} {noun} COMMAND --help' for more information on a command.",
    ])  # fmt: skip


def verbs(noun: str) -> dict[str, str]:
    """The noun's verbs, each once, with its line."""
    found = {}
    for path, (_, aliases, summary) in tree.COMMANDS.items():
        for name in (path, *aliases) if summary else ():  # dial-stdio is for ssh:// alone
            if name.startswith(f"{noun} "):
                found[name.partition(" ")[2]] = summary
                break
    return dict(sorted(found.items()))


def command_page(path: str, spelled: str) -> str:
    from onggi.cli.main import load

    module = load(path)
    aliases = tree.COMMANDS[path][1]
    rows = tuple(row for row in module.FLAGS if row[4])
    lines = [
        f"Usage:  {NAME} {spelled} {'[OPTIONS] ' if rows else ''}{module.USAGE}".rstrip(),
        "",
        tree.COMMANDS[path][2],
    ]
    more = getattr(module, "DESCRIPTION", "")
    if more:
        lines += ["", more]
    if aliases:
        lines += ["", "Aliases:", "  " + ", ".join(f"{NAME} {name}" for name in sorted((path, *aliases)))]
    if rows:
        lines += ["", "Options:", *options(rows)]
    return "\n".join(lines)


def options(rows: tuple[Row, ...]) -> list[str]:
    """The flags in two columns, wrapped to the terminal's width."""
    left = []
    for name, short, kind, _, _ in rows:
        shown = kind.partition(":")[0]
        head = f"  -{short}, --{name}" if short else f"      --{name}"
        left.append(head if shown == "bool" else f"{head} {shown}")
    width = max(map(len, left)) + 3
    room = max(_columns() - width, 24)
    lines = []
    for head, row in zip(left, rows, strict=True):
        text = _wrap(row[4] + _default(row), room)
        lines.append((head.ljust(width) + text[0]).rstrip())
        lines += [" " * width + line for line in text[1:]]
    return lines


def _default(row: Row) -> str:
    kind, default = row[2].partition(":")[0], row[3]
    if default in (None, "", False, 0) or kind in _REPEATED:
        return ""
    if kind == "bool":
        return " (default true)"
    return f' (default "{default}")' if kind == "string" else f" (default {default})"


def _wrap(text: str, width: int) -> list[str]:
    lines = []
    for part in text.split("\n"):
        line = ""
        for word in part.split(" "):
            if line and len(line) + 1 + len(word) > width:
                lines.append(line.rstrip())
                line = word
            else:
                line = f"{line} {word}" if line else word
        lines.append(line)
    return lines


def _columns() -> int:
    for stream in (sys.stdin, sys.stdout):
        try:
            return os.get_terminal_size(stream.fileno()).columns
        except (OSError, ValueError):
            continue
    return 80


def _commands(summaries: dict[str, str]) -> list[str]:
    return [f"  {name:<11} {summary}" for name, summary in summaries.items()]


def similar(name: str) -> list[str]:
    """Commands that a slip of the fingers away from `name`: distance two, or a common beginning."""
    names = [*(path for path in tree.COMMANDS if " " not in path), *tree.NOUNS]
    return sorted(
        word
        for word in set(names)
        if _distance(name, word) <= min(2, len(name) // 3) or word.startswith(name)
    )


def _distance(first: str, second: str) -> int:
    """Levenshtein's, without case."""
    first, second = first.lower(), second.lower()
    row = list(range(len(second) + 1))
    for at, letter in enumerate(first, 1):
        before, row[0] = row[0], at
        for to, other in enumerate(second, 1):
            before, row[to] = row[to], min(row[to] + 1, row[to - 1] + 1, before + (letter != other))
    return row[-1]
