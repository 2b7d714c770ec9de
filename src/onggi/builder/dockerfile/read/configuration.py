"""Instructions that change only the image's configuration."""

from __future__ import annotations

import re

from onggi.builder.dockerfile.flags import Flags
from onggi.builder.dockerfile.read.base import (
    command,
    common,
    name_of,
    one_argument,
    pairs,
    some_arguments,
    wrong,
)
from onggi.builder.dockerfile.tree import Node
from onggi.builder.instructions import (
    Arg,
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Label,
    Maintainer,
    OnBuild,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)

_ONBUILD = re.compile(r"\s*ONBUILD\s*", re.IGNORECASE)


def arg(node: Node) -> Arg:
    found: list[tuple[str, str | None]] = []
    for word in some_arguments(node):
        name, equals, value = word.partition("=")
        if not name:
            raise wrong(node, "ARG names can not be blank")
        found.append((name, value if equals else None))
    return Arg(**common(node), args=tuple(found))


def env(node: Node) -> Env:
    Flags(node)
    return Env(**common(node), pairs=pairs(node))


def label(node: Node) -> Label:
    Flags(node)
    return Label(**common(node), pairs=pairs(node))


def maintainer(node: Node) -> Maintainer:
    name = one_argument(node)
    Flags(node)
    return Maintainer(**common(node), name=name)


def cmd(node: Node) -> Cmd:
    Flags(node)
    return Cmd(**common(node), command=command(node))


def entrypoint(node: Node) -> Entrypoint:
    Flags(node)
    return Entrypoint(**common(node), command=command(node))


def shell(node: Node) -> Shell:
    Flags(node)
    args = some_arguments(node)
    if not node.json:
        raise wrong(node, "SHELL requires the arguments to be in JSON form")
    return Shell(**common(node), args=args)


def workdir(node: Node) -> Workdir:
    path = one_argument(node)
    Flags(node)
    return Workdir(**common(node), path=path)


def user(node: Node) -> User:
    name = one_argument(node)
    Flags(node)
    return User(**common(node), user=name)


def volume(node: Node) -> Volume:
    args = some_arguments(node)
    Flags(node)
    paths = tuple(path.strip() for path in args)
    if not all(paths):
        raise wrong(node, "VOLUME specified can not be an empty string")
    return Volume(**common(node), paths=paths)


def expose(node: Node) -> Expose:
    args = some_arguments(node)
    Flags(node)
    return Expose(**common(node), ports=tuple(sorted(args)))


def stop_signal(node: Node) -> StopSignal:
    return StopSignal(**common(node), signal=one_argument(node))


def on_build(node: Node) -> OnBuild:
    """The trigger's text, its here-documents with it; it is read when it is pulled."""
    if node.child is None:
        raise wrong(node, "ONBUILD requires at least one argument")
    Flags(node)
    trigger = name_of(node.child)
    if trigger == "ONBUILD":
        raise wrong(node, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("MAINTAINER", "FROM", "INCLUDE"):
        raise wrong(node, f"{trigger} isn't allowed as an ONBUILD trigger")
    text = _ONBUILD.sub("", node.original, count=1)
    bodies = "".join(f"\n{one.data}{one.name}" for one in node.heredocs)
    return OnBuild(**common(node), trigger=text + bodies)
