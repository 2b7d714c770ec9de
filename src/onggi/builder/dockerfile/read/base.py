"""What the readers share."""

from __future__ import annotations

from typing import TypedDict

from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.dockerfile.tree import Node
from onggi.builder.instructions import Command, Location, Pair


def wrong(node: Node, message: str) -> DockerfileError:
    return DockerfileError(message, node.location)


def name_of(node: Node) -> str:
    return node.name.upper()


def shown(node: Node) -> str:
    """The instruction as progress and history show it: one line, its name in upper case."""
    text = node.original.strip()
    return node.name.upper() + text[len(node.name) :]


class Common(TypedDict):
    """The fields of every instruction."""

    text: str
    location: Location
    comments: tuple[str, ...]


def common(node: Node) -> Common:
    return {"text": shown(node), "location": node.location, "comments": node.comments}


def one_argument(node: Node) -> str:
    if len(node.args) != 1:
        raise wrong(node, f"{name_of(node)} requires exactly one argument")
    return node.args[0]


def some_arguments(node: Node) -> tuple[str, ...]:
    if not node.args:
        raise wrong(node, f"{name_of(node)} requires at least one argument")
    return node.args


def command(node: Node) -> Command:
    """The exec form, or one text for the shell."""
    args = node.args if node.json or not node.args else (" ".join(node.args),)
    return Command(args=args, shell=not node.json, heredocs=node.heredocs)


def pairs(node: Node) -> tuple[Pair, ...]:
    """ENV's and LABEL's threes."""
    args = some_arguments(node)
    found = []
    for at in range(0, len(args), 3):
        key, value, equals = args[at : at + 3]
        if not key:
            raise wrong(node, f"{name_of(node)} names can not be blank")
        found.append(Pair(key, value, legacy=not equals))
    return tuple(found)
