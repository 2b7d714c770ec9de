"""The OpenAPI 3 form of the facts, for the operations that an engine serves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from onggi.server.description.facts import Facts, Operation, Type

_WORDS = {"int": "integer", "number": "number", "bool": "boolean"}
_STREAMS = "application/octet-stream"


def document(facts: Facts, served: Iterable[tuple[str, str]], *, version: str, title: str) -> dict[str, Any]:
    """`served` is (method, path); one that the facts do not know is described by its path alone."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path in served:
        operation = facts.operations.get((method, path)) or Operation(method, path, "", "", (), (), None, ())
        paths.setdefault(path, {})[method.lower()] = _operation(operation)
    return {
        "openapi": "3.0.3",
        "info": {"title": title, "version": version},
        "servers": [{"url": f"/v{version}"}],
        "paths": paths,
        "components": {"schemas": {name: _schema(found) for name, found in facts.documents.items()}},
    }


def _operation(operation: Operation) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)\}", operation.path)
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
    ]
    parameters += [_parameter("query", name, found) for name, found in operation.query]
    parameters += [_parameter("header", name, found) for name, found in operation.headers]
    shown: dict[str, Any] = {"parameters": parameters, "responses": _answers(operation)}
    if operation.name:
        shown["operationId"] = operation.name
    if operation.tag:
        shown["tags"] = [operation.tag]
    if operation.body is not None:
        shown["requestBody"] = {"content": _content(operation.body)}
    return shown


def _parameter(where: str, name: str, found: Type) -> dict[str, Any]:
    return {"name": name, "in": where, "schema": _schema(found)}


def _answers(operation: Operation) -> dict[str, Any]:
    answers: dict[str, dict[str, Any]] = {}
    for status, found in operation.answers:
        answers[str(status)] = {"description": ""}
        if found.kind != "nothing":
            answers[str(status)]["content"] = _content(found)
    return answers or {"default": {"description": ""}}


def _content(found: Type) -> dict[str, Any]:
    kind = _STREAMS if found.kind in ("string", "nothing") else "application/json"
    return {kind: {"schema": _schema(found)}}


def _schema(found: Type) -> dict[str, Any]:
    schema = _bare(found)
    if found.nullable and "$ref" not in schema:
        schema["nullable"] = True
    return schema


def _bare(found: Type) -> dict[str, Any]:
    match found.kind:
        case "name":
            return {"$ref": f"#/components/schemas/{found.name}"}
        case "list":
            return {"type": "array", "items": _schema(found.item or Type("any"))}
        case "map":
            return {"type": "object", "additionalProperties": _schema(found.item or Type("any"))}
        case "string":
            return {"type": "string", **({"enum": list(found.values)} if found.values else {})}
        case "object":
            return _object(found)
        case "any" | "nothing":
            return {}
    return {"type": _WORDS[found.kind]}


def _object(found: Type) -> dict[str, Any]:
    own: dict[str, Any] = {
        "type": "object",
        "properties": {name: _schema(field) for name, field in found.fields},
    }
    required = [name for name, field in found.fields if field.required]
    if required:
        own["required"] = required
    if not found.includes:
        return own
    return {"allOf": [*({"$ref": f"#/components/schemas/{name}"} for name in found.includes), own]}
