"""What a shell offers: `onggi __complete WORD... LAST` prints one candidate a line, a tab, and its summary.

Names of containers, images, volumes and networks are asked of the engine; where none answers there are
none, and no engine is started for it.
"""

from __future__ import annotations

import os

from onggi.cli import tree
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.engine import Engine
    from onggi.cli.flags import Flags, Row

_CONTAINERS = frozenset(
    (
        "attach",
        "commit",
        "cp",
        "diff",
        "exec",
        "export",
        "kill",
        "logs",
        "pause",
        "port",
        "rename",
        "restart",
        "rm",
        "start",
        "stats",
        "stop",
        "top",
        "unpause",
        "update",
        "wait",
        "container inspect",
        "inspect",
    )
)
_IMAGES = frozenset(("run", "create", "history", "rmi", "save", "tag", "image inspect", "images", "inspect"))


def answer(options: Flags, words: list[str]) -> None:
    """Print the candidates for the last word."""
    last = words[-1] if words else ""
    before = words[:-1]
    for name, summary in sorted(_candidates(options, before, last).items()):
        if name.startswith(last):
            print(f"{name}\t{summary}")


def _candidates(options: Flags, before: list[str], last: str) -> dict[str, str]:
    from onggi.cli import help, main

    words = [word for word in before if not word.startswith("-")]
    if not words:
        if last.startswith("-"):
            return _flags(main.GLOBAL_FLAGS)
        own = {path: row[2] for path, row in tree.COMMANDS.items() if " " not in path}
        return {**own, **tree.NOUNS}
    if words == [words[0]] and words[0] in tree.NOUNS:
        return help.verbs(words[0])
    try:
        path, _ = main.resolve(words)
    except CommandError:
        return {}
    if path not in tree.COMMANDS:
        return {}
    if last.startswith("-"):
        return _flags(main.load(path).FLAGS)
    return _objects(options, path)


def _flags(rows: tuple[Row, ...]) -> dict[str, str]:
    return {f"--{row[0]}": row[4].partition("\n")[0] for row in rows if row[4]}


def _objects(options: Flags, path: str) -> dict[str, str]:
    from onggi.cli.session import Session

    session = Session(options, path)
    address = session.address()
    address.chosen = True  # never start an engine for a completion
    if address.path and not os.path.exists(address.path):
        return {}
    try:
        return _names(session.engine, path)
    except CommandError:
        return {}


def _names(engine: Engine, path: str) -> dict[str, str]:
    found: dict[str, str] = {}
    if path in _CONTAINERS:
        everything = path not in ("exec", "attach", "kill", "pause", "stop", "top")
        for item in engine.get("/containers/json", all=True if everything else None):
            found[item["Names"][0].removeprefix("/")] = item["Image"]
    if path in _IMAGES:
        for item in engine.get("/images/json"):
            found |= dict.fromkeys(
                (tag for tag in item.get("RepoTags") or [] if tag != "<none>:<none>"), "image"
            )
    if path.startswith("volume "):
        found |= {item["Name"]: item["Driver"] for item in engine.get("/volumes").get("Volumes") or []}
    if path.startswith("network "):
        found |= {item["Name"]: item["Driver"] for item in engine.get("/networks")}
    return found
