"""Compares an answer with the facts of the API: status, types, required fields, unknown fields, enumerations.

Go writes a nil list or map as null, so null passes where the facts have a list, a map or an object; never
for a text, a number or a truth that is not marked as nullable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from onggi.server.description.facts import Facts, Operation, Type, load

# A wrong request, something that is not there, a state that does not fit, too much, and what an engine does
# not do: any operation may say so, and dockerd does, described or not. The body is an error's all the same.
ANYWHERE = frozenset({400, 404, 409, 413, 501})

# Pointers of Go's: dockerd writes null, and its description does not say that it may.
POINTERS = {("HostConfig", "MemorySwappiness"), ("HostConfig", "OomKillDisable")}


def faults(method: str, target: str, status: int, body: bytes, facts: Facts | None = None) -> list[str]:
    """What is wrong with an answer; empty where it is as described."""
    facts = facts or load()
    path = re.sub(r"^/v\d+\.\d+/", "/", target.partition("?")[0])
    operation = find(facts, method, path)
    if operation is None:
        return [] if status == 404 else [f"{method} {path}: not described, answered {status}"]
    expected = dict(operation.answers).get(status)
    if expected is None and status in ANYWHERE:
        expected = Type("name", name="ErrorResponse")
    if expected is None:
        return [f"{method} {operation.path}: status {status} is not described: {body[:200]!r}"]
    if method == "HEAD" or expected.kind == "nothing":
        return []
    return [f"{method} {operation.path} {status}: {fault}" for fault in _body_faults(facts, expected, body)]


def find(facts: Facts, method: str, path: str) -> Operation | None:
    """The operation of a path: one without parameters first."""
    found = [
        operation
        for (its_method, pattern), operation in facts.operations.items()
        if its_method == method and _expression(pattern).fullmatch(path)
    ]
    return min(found, key=lambda operation: operation.path.count("{")) if found else None


def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{name\\\}", ".+", re.escape(pattern)).replace(r"\{id\}", "[^/]+"))


def _body_faults(facts: Facts, expected: Type, body: bytes) -> list[str]:
    if facts.resolve(expected).kind == "string":
        return []
    try:
        # A stream of documents is described by one of them.
        documents = list(_documents(body.decode()))
    except ValueError as error:
        return [f"no JSON: {error}: {body[:200]!r}"]
    return [fault for document in documents for fault in mismatches(facts, expected, document)]


def _documents(text: str) -> Iterator[object]:
    decoder = json.JSONDecoder()
    at = 0
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        yield value
        while at < len(text) and text[at].isspace():
            at += 1


def mismatches(facts: Facts, expected: Type, value: object, where: str = "") -> list[str]:
    """Where a value is not of a type."""
    name = expected.name
    found = facts.resolve(expected)
    if value is None:
        ok = found.nullable or found.kind in ("list", "map", "object", "any")
        return [] if ok else [f"{where}: null for {found.kind}"]
    match found.kind, value:
        case "any", _:
            return []
        case "list", list():
            item = found.item or Type("any")
            return [f for at, v in enumerate(value) for f in mismatches(facts, item, v, f"{where}[{at}]")]
        case "map", dict():
            item = found.item or Type("any")
            return [f for key, v in value.items() for f in mismatches(facts, item, v, f"{where}.{key}")]
        case "object", dict():
            return _object(facts, name, found, value, where)
        case "string", str():
            ok = not found.values or value in found.values or value == ""
            return [] if ok else [f"{where}: {value!r} is none of {found.values}"]
        case "bool", bool():
            return []
        case "int", int() if not isinstance(value, bool):
            return []
        case "number", int() | float() if not isinstance(value, bool):
            return []
    return [f"{where}: {value!r:.80} for {found.kind}"]


def _object(facts: Facts, name: str, found: Type, value: dict[str, object], where: str) -> list[str]:
    fields = facts.fields(found)
    faults = [
        f"{where}.{key}: missing" for key, field in fields.items() if field.required and key not in value
    ]
    for key, item in value.items():
        if item is None and (name, key) in POINTERS:
            continue
        if key in fields:
            faults += mismatches(facts, fields[key], item, f"{where}.{key}")
        else:
            faults.append(f"{where}.{key}: not described")
    return faults
