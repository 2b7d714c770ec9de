"""Text to a tree: one node for each instruction, its name, flags and arguments apart, nothing yet
understood.

    Tree(nodes, directives)
      Node(name, flags, args, json, heredocs, child)       `child` is ONBUILD's instruction

How the arguments are cut depends on the name alone (GRAMMAR). An unknown name is a node too: the next
stage knows what to suggest. Dockerfiles come from anyone: at most SIZE_MAX bytes, and time linear in
them.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from onggi.builder.dockerfile import directives, heredocs, words
from onggi.builder.dockerfile.directives import Directives
from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.dockerfile.expansion import Failed
from onggi.builder.dockerfile.lines import Lines, Logical
from onggi.builder.instructions import Heredoc, Location

SIZE_MAX = 10 << 20
NODES_MAX = 100_000
HEREDOC_NAMES = frozenset(("RUN", "COPY", "ADD"))
_BOM = "\ufeff"


class Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`name` as written; `args` by the instruction's grammar: for ENV and LABEL they come in threes
    (name, value, `=` or "" for the old form). `original` is the whole logical line.
    """

    name: str
    flags: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    json: bool = False
    heredocs: tuple[Heredoc, ...] = ()
    child: Node | None = None
    original: str
    comments: tuple[str, ...] = ()
    location: Location


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """`gaps` are the lines with an empty continuation."""

    nodes: tuple[Node, ...]
    directives: Directives = Directives()
    gaps: tuple[Location, ...] = ()


def parse(data: bytes, *, source: int = 0) -> Tree:
    """Read a whole file. Raises DockerfileError, which names the line."""
    if len(data) > SIZE_MAX:
        raise DockerfileError(
            f"the Dockerfile has {len(data)} bytes, more than {SIZE_MAX}", Location(1, 1, source)
        )
    if not data and not source:
        raise DockerfileError("the Dockerfile cannot be empty", Location(1, 1))
    text = data.decode("utf-8", "surrogateescape").removeprefix(_BOM)
    head = text.split("\n", len(directives.KNOWN) + 1)[: len(directives.KNOWN) + 1]
    found = directives.read(line.strip("\r").lstrip() for line in head)
    lines = Lines(text, found.escape, found.lines, source)
    nodes: list[Node] = []
    gaps: list[Location] = []
    while (logical := lines.next()) is not None:
        if logical.gap:
            gaps.append(Location(logical.end, logical.end, source))
        nodes.append(_node(logical, lines, found.escape, source))
        if len(nodes) > NODES_MAX:
            raise DockerfileError(f"more than {NODES_MAX} instructions", nodes[-1].location)
    if not nodes:
        last = max(1, lines.number)
        raise DockerfileError("file with no instructions", Location(last, last, source))
    return Tree(nodes=tuple(nodes), directives=found, gaps=tuple(gaps))


def _node(logical: Logical, lines: Lines, escape: str, source: int) -> Node:
    location = Location(logical.start, logical.end, source)
    text = _shown(logical.text)
    node = from_line(text, escape, location, logical.comments)
    holder = node.child or node
    if "<<" in text and holder.name.upper() in HEREDOC_NAMES and not holder.json:
        bodies = tuple(_body(one, lines, location) for one in heredocs.in_line(text))
        location = Location(logical.start, lines.number, source)
        if node.child is not None:
            child = msgspec.structs.replace(node.child, heredocs=bodies, location=location)
            return msgspec.structs.replace(node, child=child, heredocs=bodies, location=location)
        return msgspec.structs.replace(node, heredocs=bodies, location=location)
    return node


def _body(one: Heredoc, lines: Lines, location: Location) -> Heredoc:
    body = lines.here(one.name, chomp=one.chomp)
    if body is None:
        raise DockerfileError("unterminated heredoc", location)
    return msgspec.structs.replace(one, data=body)


def _shown(text: str) -> str:
    """Bytes that are not UTF-8 become U+FFFD, as everywhere outside a here-document's body."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def from_line(line: str, escape: str, location: Location, comments: tuple[str, ...] = ()) -> Node:
    """One instruction's text (a logical line, a trigger). Raises DockerfileError."""
    name, rest = words.command(line)
    flags, rest = words.flags(rest, escape)
    if name.upper() == "ONBUILD" and rest:
        child = from_line(rest, escape, location)
        return Node(
            name=name, flags=tuple(flags), child=child, original=line, comments=comments, location=location
        )
    cut = GRAMMAR.get(name.upper())
    try:
        args, json = cut(rest, escape, location) if cut is not None else ([], False)
    except Failed as error:
        raise DockerfileError(str(error), location) from None
    return Node(
        name=name,
        flags=tuple(flags),
        args=tuple(args),
        json=json,
        original=line,
        comments=comments,
        location=location,
    )


# -- how arguments are cut: (text, escape, location) -> (arguments, whether they were JSON)

Cut = Callable[[str, str, Location], tuple[list[str], bool]]


def _json_or_text(text: str, escape: str, location: Location) -> tuple[list[str], bool]:
    if not text:
        return [], False
    found = words.json_list(text, location)
    return ([text], False) if found is None else (found, True)


def _json_or_fields(text: str, escape: str, location: Location) -> tuple[list[str], bool]:
    found = words.json_list(text, location)
    return (words.fields(text), False) if found is None else (found, True)


def _fields(text: str, escape: str, location: Location) -> tuple[list[str], bool]:
    return words.fields(text), False


def _text(text: str, escape: str, location: Location) -> tuple[list[str], bool]:
    return ([text] if text else []), False


def _words(text: str, escape: str, location: Location) -> tuple[list[str], bool]:
    return words.words(text, escape), False


def _health(text: str, escape: str, location: Location) -> tuple[list[str], bool]:
    kind, *rest = text.split(None, 1) or [""]
    if not kind:
        return [], False
    args, json = _json_or_text("".join(rest), escape, location)
    return [kind, *args], json


def _pairs(name: str) -> Cut:
    def cut(text: str, escape: str, location: Location) -> tuple[list[str], bool]:
        found = words.words(text, escape)
        if not found:
            return [], False
        if "=" not in found[0]:
            key, *rest = text.split(None, 1)
            if not rest:
                raise DockerfileError(f"{name} must have two arguments", location)
            return [key, rest[0], ""], False
        args: list[str] = []
        for word in found:
            key, equals, value = word.partition("=")
            if not equals:
                raise DockerfileError(
                    f"Syntax error - can't find = in {words.quoted(word)}. Must be of the form: name=value",
                    location,
                )
            args += [key, value, "="]
        return args, False

    return cut


GRAMMAR: dict[str, Cut] = {
    "ADD": _json_or_fields,
    "ARG": _words,
    "CMD": _json_or_text,
    "COPY": _json_or_fields,
    "ENTRYPOINT": _json_or_text,
    "ENV": _pairs("ENV"),
    "EXPOSE": _fields,
    "FROM": _fields,
    "HEALTHCHECK": _health,
    "INCLUDE": _text,
    "LABEL": _pairs("LABEL"),
    "MAINTAINER": _text,
    "RUN": _json_or_text,
    "SHELL": _json_or_text,
    "STOPSIGNAL": _text,
    "USER": _text,
    "VOLUME": _json_or_fields,
    "WORKDIR": _text,
}
