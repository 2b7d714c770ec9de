"""Reads the facts of the API: names and types of its documents, and what each operation takes and gives.

Lines, nested by four blanks:

    Name = TYPE                     a document; its fields below, where it is an object
        +Other                      the fields of another document too
    Name += object                  further fields of a document that is described above
        Field TYPE                  TYPE! is always there, TYPE? may be null or left out
    GET /path OperationId Tag       an operation
        ?name TYPE                  a parameter of the query; ^Name TYPE is a header
        <- TYPE                     the body of the request
        200 TYPE                    an answer; ^Name TYPE below it is a header of the answer

    TYPE = string | string(one|other) | int | number | bool | any | nothing | object | [TYPE] | {TYPE} | Name

`object` has its fields below, also inside a list or a map. engine-api.txt is made by scripts/api-facts
from Docker's description; onggi-api.txt is written by hand and holds what no other engine has.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import NamedTuple

INDENT = 4
SOURCES = ("engine-api.txt", "onggi-api.txt")


class Type(NamedTuple):
    """`kind` is one of the words above, or list, map, name; `fields` and `includes` are an object's."""

    kind: str
    item: Type | None = None
    name: str = ""
    values: tuple[str, ...] = ()
    nullable: bool = False
    required: bool = False
    fields: tuple[tuple[str, Type], ...] = ()
    includes: tuple[str, ...] = ()


class Operation(NamedTuple):
    """One operation; `query` and `headers` are (name, type), `answers` (status, type)."""

    method: str
    path: str
    name: str
    tag: str
    query: tuple[tuple[str, Type], ...]
    headers: tuple[tuple[str, Type], ...]
    body: Type | None
    answers: tuple[tuple[int, Type], ...]


class Facts(NamedTuple):
    documents: dict[str, Type]
    operations: dict[tuple[str, str], Operation]

    def fields(self, found: Type) -> dict[str, Type]:
        """All fields of an object, included ones first."""
        all_fields: dict[str, Type] = {}
        for name in found.includes:
            all_fields |= self.fields(self.resolve(self.documents[name]))
        return all_fields | dict(found.fields)

    def resolve(self, found: Type) -> Type:
        """Follow names to what they stand for; null is allowed where one of them allows it."""
        nullable = found.nullable
        while found.kind == "name":
            found = self.documents[found.name]
            nullable = nullable or found.nullable
        return found._replace(nullable=nullable)


class _Line(NamedTuple):
    words: list[str]
    below: list[_Line]


@cache
def load() -> Facts:
    """The facts of the package."""
    texts = [(files(__package__) / name).read_text("utf-8") for name in SOURCES]
    return parse("\n".join(texts))


def parse(text: str) -> Facts:
    """Raises ValueError with the line that is not understood."""
    documents: dict[str, Type] = {}
    operations: dict[tuple[str, str], Operation] = {}
    for line in _nested(text):
        if len(line.words) == 3 and line.words[1] == "=":
            documents[line.words[0]] = _type(line.words[2], line.below)
        elif line.words[1:] == ["+=", "object"] and line.words[0] in documents:
            known = documents[line.words[0]]
            more = _type("object", line.below)
            documents[line.words[0]] = known._replace(fields=known.fields + more.fields)
        elif line.words[0].isupper() and len(line.words) in (3, 4):
            operation = _operation(line)
            operations[operation.method, operation.path] = operation
        else:
            raise ValueError(f"facts: {' '.join(line.words)}")
    return Facts(documents, operations)


def _nested(text: str) -> list[_Line]:
    top: list[_Line] = []
    levels = [top]
    for raw in text.splitlines():
        stripped = raw.strip()
        if not stripped or stripped.startswith("#"):
            continue
        depth = (len(raw) - len(raw.lstrip())) // INDENT
        line = _Line(stripped.split(), [])
        del levels[depth + 1 :]
        levels[depth].append(line)
        levels.append(line.below)
    return top


def _operation(line: _Line) -> Operation:
    method, path, name, *tag = line.words
    marked = {mark: [below for below in line.below if below.words[0].startswith(mark)] for mark in "?^<"}
    answers = [below for below in line.below if below.words[0].isdigit()]
    body = marked["<"]
    return Operation(
        method,
        path,
        name,
        tag[0] if tag else "",
        tuple(_named(marked["?"])),
        tuple(_named(marked["^"])),
        _type(body[0].words[1], body[0].below) if body else None,
        tuple((int(below.words[0]), _type(below.words[1], below.below)) for below in answers),
    )


def _named(lines: list[_Line]) -> Iterator[tuple[str, Type]]:
    for line in lines:
        yield line.words[0][1:], _type(line.words[1], line.below)


def _type(text: str, below: list[_Line]) -> Type:
    bare = text.rstrip("?!")
    marks = text[len(bare) :]
    found = _bare(bare, below)
    return found._replace(nullable="?" in marks, required="!" in marks)


def _bare(text: str, below: list[_Line]) -> Type:
    if text.startswith("["):
        return Type("list", item=_type(text[1:-1], below))
    if text.startswith("{"):
        return Type("map", item=_type(text[1:-1], below))
    if text == "object":
        fields = tuple(
            (line.words[0], _type(line.words[1], line.below)) for line in below if len(line.words) > 1
        )
        return Type(
            "object",
            fields=fields,
            includes=tuple(line.words[0][1:] for line in below if len(line.words) == 1),
        )
    if text.startswith("string("):
        return Type("string", values=tuple(text[7:-1].split("|")))
    if text in ("string", "int", "number", "bool", "any", "nothing"):
        return Type(text)
    if not text[:1].isupper():
        raise ValueError(f"facts: unknown type {text}")
    return Type("name", name=text)
