"""Nodes of a template.

list     [node]
node     ("text", str) | ("action", pipe) | ("if"|"with"|"range", pipe, list, else list)
         | ("break",) | ("continue",) | ("template", name, pipe or None, offset)
pipe     Pipe(names, declares, commands)          {{$x := a b | c}}
command  [operand]
operand  Operand(kind, value, fields, offset, source)
         kinds: dot, nil, constant, field, variable, function, pipe; `fields` follow by dots
"""

from __future__ import annotations

from onggi.cli.template.lexer import SyntaxFault, tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Any

    from onggi.cli.template.lexer import Token

    Node = tuple[Any, ...]


class Pipe:
    __slots__ = ("commands", "declares", "names")

    def __init__(self, names: list[str], declares: bool, commands: list[list[Operand]]) -> None:
        self.names = names
        self.declares = declares
        self.commands = commands


class Operand:
    __slots__ = ("fields", "kind", "offset", "source", "value")

    def __init__(self, kind: str, value: Any, offset: int) -> None:
        self.kind = kind
        self.value = value
        self.fields: list[str] = []
        self.offset = offset
        self.source = ""


class Parser:
    """Reads one template. `definitions` has the bodies of define and block by name."""

    def __init__(self, source: str, functions: Container[str]) -> None:
        self._source = source
        self._tokens = tokens(source)
        self._at = 0
        self._functions = functions
        self._variables = [{"": True}]
        self._ranges = 0  # that are open here
        self.definitions: dict[str, list[Node]] = {}

    def parse(self) -> list[Node]:
        """The template's nodes. Raises SyntaxFault."""
        nodes, end = self._nodes(())
        if end:
            raise SyntaxFault(f"unexpected {{{{{end}}}}}", self._offset())
        return nodes

    def _nodes(self, ends: tuple[str, ...]) -> tuple[list[Node], str]:
        """Nodes up to one of the closing words; the word, empty at the end of the text."""
        nodes: list[Node] = []
        while self._at < len(self._tokens):
            kind, value, offset = self._next()
            if kind == "text":
                nodes.append(("text", value))
                continue
            self._space()
            word = self._peek()
            name = str(word[1]) if word[0] == "word" else ""
            if name in ("end", "else"):
                self._next()
                self._space()
                if name not in ends:
                    raise SyntaxFault(f"unexpected {{{{{name}}}}}", offset)
                if name == "end":
                    self._expect("}}")
                return nodes, name
            node = self._node(name)
            if node is not None:
                nodes.append(node)
        if ends:
            raise SyntaxFault("unexpected EOF", len(self._source))
        return nodes, ""

    def _node(self, name: str) -> Node | None:
        if name in ("if", "with", "range"):
            self._next()
            self._variables.append({})
            node = self._control(name)
            self._variables.pop()
            return node
        if name in ("break", "continue"):
            if not self._ranges:
                raise SyntaxFault(f"{{{{{name}}}}} outside {{{{range}}}}", self._offset())
            self._next()
            self._space()
            self._expect("}}")
            return (name,)
        if name in ("define", "block", "template"):
            return self._definition(name)
        pipe = self._pipe("}}", name="command")
        return ("action", pipe)

    def _control(self, name: str) -> Node:
        pipe = self._pipe("}}", name=name)
        self._ranges += name == "range"
        body, end = self._nodes(("end", "else"))
        self._ranges -= name == "range"
        other: list[Node] = []
        if end == "else":
            word = self._peek()
            if word[0] == "word" and word[1] in ("if", "with") and name == word[1]:
                self._next()
                return (name, pipe, body, [self._control(name)])
            self._expect("}}")
            other, _ = self._nodes(("end",))
        return (name, pipe, body, other)

    def _definition(self, kind: str) -> Node | None:
        self._next()
        self._space()
        _, name, offset = self._peek()
        if self._peek()[0] != "string":
            raise SyntaxFault(f"unexpected {self._shown()} in {kind} clause", offset)
        self._next()
        self._space()
        pipe = self._pipe("}}", name=kind) if self._peek()[0] != "}}" else None
        if pipe is None:
            self._expect("}}")
        if kind == "template":
            return (kind, name, pipe, offset)
        outside, self._ranges = self._ranges, 0  # a body of its own
        body, _ = self._nodes(("end",))
        self._ranges = outside
        self.definitions[str(name)] = body
        return ("template", name, pipe, offset) if kind == "block" else None

    def _pipe(self, end: str, name: str) -> Pipe:
        self._space()
        names, declares = self._declaration()
        commands: list[list[Operand]] = []
        while True:
            command = self._command()
            if not command:
                offset = self._offset()
                if self._peek()[0] == end and not commands:
                    raise SyntaxFault(f"missing value for {name}", offset)
                raise SyntaxFault(f"unexpected {self._shown()} in {name}", offset)
            if (
                commands
                and command[0].kind not in ("function", "field", "variable", "pipe")
                and not command[0].fields
            ):
                raise SyntaxFault(
                    f"non executable command in pipeline stage {len(commands) + 1}", command[0].offset
                )
            commands.append(command)
            kind = self._peek()[0]
            if kind == "|":
                self._next()
                self._space()
                continue
            if kind != end:
                raise SyntaxFault(f"unexpected {self._shown()} in {name}", self._offset())
            self._next()
            for variable in names if declares else ():
                self._variables[-1][variable] = True
            return Pipe(names, declares, commands)

    def _declaration(self) -> tuple[list[str], bool]:
        """`$x :=`, `$i, $x :=` or `$x =` at the head of a pipe."""
        start = self._at
        names = []
        while self._peek()[0] == "variable":
            names.append(str(self._next()[1]))
            self._space()
            kind = self._peek()[0]
            if kind in (":=", "="):
                self._next()
                self._space()
                return names, kind == ":="
            if kind != ",":
                break
            self._next()
            self._space()
        self._at = start
        return [], False

    def _command(self) -> list[Operand]:
        operands: list[Operand] = []
        self._space()
        while (operand := self._operand()) is not None:
            operands.append(operand)
            kind = self._peek()[0]
            if kind == "space":
                self._space()
            elif kind not in ("|", ")", "}}"):
                raise SyntaxFault(f"unexpected {self._shown()} in operand", self._offset())
        return operands

    def _operand(self) -> Operand | None:
        kind, value, offset = self._peek()
        if kind in ("string", "number"):
            operand = Operand("constant", value, offset)
        elif kind == "field":
            operand = Operand("field", value, offset)
        elif kind == ".":
            operand = Operand("dot", None, offset)
        elif kind == "variable":
            if not any(value in scope for scope in self._variables):
                raise SyntaxFault(f'undefined variable "${value}"', offset)
            operand = Operand("variable", value, offset)
        elif kind == "word":
            operand = self._word_operand(str(value), offset)
        elif kind == "(":
            self._next()
            operand = Operand("pipe", self._pipe(")", name="parenthesized pipeline"), offset)
            self._at -= 1
        else:
            return None
        self._next()
        end = self._offset()
        if self._peek()[0] == "field" and operand.kind in ("field", "variable"):
            operand.offset = end  # Go names a chain by where its second link stands
        while self._peek()[0] == "field":
            operand.fields.append(str(self._next()[1]))
            end = self._offset()
        operand.source = self._source[offset:end]
        return operand

    def _word_operand(self, word: str, offset: int) -> Operand:
        if word in ("true", "false"):
            return Operand("constant", word == "true", offset)
        if word == "nil":
            return Operand("nil", None, offset)
        if word not in self._functions:
            raise SyntaxFault(f'function "{word}" not defined', offset)
        return Operand("function", word, offset)

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _peek(self) -> Token:
        if self._at < len(self._tokens):
            return self._tokens[self._at]
        return ("end", "", len(self._source))

    def _offset(self) -> int:
        return self._peek()[2]

    def _space(self) -> None:
        while self._peek()[0] == "space":
            self._at += 1

    def _expect(self, kind: str) -> None:
        self._space()
        if self._peek()[0] != kind:
            raise SyntaxFault(f"unexpected {self._shown()} in end", self._offset())
        self._at += 1

    def _shown(self) -> str:
        kind, value, offset = self._peek()
        if kind == "string":
            return f'"\\"{value}\\""'
        size = len(str(value)) + (kind in ("field", "variable"))
        return f'"{self._source[offset : offset + size] if value else kind}"'
