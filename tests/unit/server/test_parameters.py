"""No parameter that Docker describes is ignored: its handler reads it, or it stands below with the reason.

What a handler reads is read out of its source: the names that it, and the functions of its module that it
calls, hand to the request's methods.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from onggi.server import api
from onggi.server.description import facts
from onggi.server.operations import TABLE

ROOM = Path(api.__file__).parent
UNREAD = {
    ("POST", "/containers/{id}/start", "detachKeys"): "dockerd reads it nowhere: who attaches says it",
    ("GET", "/images/json", "digests"): "RepoDigests are always there, as dockerd's are",
    ("GET", "/images/json", "identity"): "the engine knows no identity of an image",
    ("POST", "/build", "forcerm"): "a build here leaves no containers behind",
    ("POST", "/build", "outputs"): "of BuildKit's builds, which this door refuses",
    ("POST", "/build", "Content-type"): "dockerd takes a body of any type, too",
}
REFUSED = ("later", "swarm")  # rooms whose handlers answer all parameters alike


class Reader(ast.NodeVisitor):
    """Collects the names of parameters that a function reads."""

    def __init__(self, module: str) -> None:
        self._functions = {
            node.name: node
            for node in ast.parse((ROOM / f"{module}.py").read_text()).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        self._seen: set[str] = set()
        self.names: set[str] = set()

    def read(self, function: str) -> set[str]:
        if function in self._functions and function not in self._seen:
            self._seen.add(function)
            self.visit(self._functions[function])
        return self.names

    def visit_Call(self, node: ast.Call) -> None:
        said = [
            arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
        ]
        takes_request = any(isinstance(arg, ast.Name) and arg.id == "request" for arg in node.args)
        called = node.func
        if isinstance(called, ast.Attribute):
            base = called.value
            if isinstance(base, ast.Name) and base.id == "request":
                self.names |= set(said[:1])
            elif isinstance(base, ast.Attribute) and base.attr == "headers":
                self.names |= {name.lower() for name in said[:1]}
        elif takes_request:
            self.names |= set(said)  # _json(request, "labels", ...)
        for name in [called, *node.args]:
            if isinstance(name, ast.Name):
                self.read(name.id)
        self.generic_visit(node)


def ignored() -> set[tuple[str, str, str]]:
    described = facts.load().operations
    found = set()
    for method, path, handler in TABLE:
        module, _, function = handler.partition(":")
        operation = described.get((method, path))
        if operation is None or module in REFUSED:
            continue
        read = Reader(module).read(function)
        found |= {(method, path, name) for name, _ in operation.query if name not in read}
        found |= {(method, path, name) for name, _ in operation.headers if name.lower() not in read}
    return found


def test_no_described_parameter_is_ignored() -> None:
    assert ignored() == set(UNREAD)


def test_every_operation_is_described() -> None:
    described = facts.load().operations
    assert [(method, path) for method, path, _ in TABLE if (method, path) not in described] == []


@pytest.mark.parametrize("handler", sorted({handler for _, _, handler in TABLE}))
def test_handlers_are_there(handler: str) -> None:
    module, _, function = handler.partition(":")
    assert function in Reader(module)._functions
