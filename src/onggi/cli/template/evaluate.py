"""Run a template on a value.

A value with a `lookup(name)` method is a context: it gives a field's value, or a callable for a method, and
raises KeyError where it has none; its `template_type` is named in errors. Dicts are maps; a missing key is
`<no value>`, or an error when `strict_keys`.
"""

from __future__ import annotations

from onggi.cli.template import values
from onggi.cli.template.functions import FUNCTIONS, CallFault
from onggi.cli.template.lexer import SyntaxFault
from onggi.cli.template.parser import Operand, Parser, Pipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from onggi.cli.template.parser import Node

DEEPEST = 100  # templates that call templates; Go's limit is 100,000
_NOTHING = object()  # no value was piped in


class TemplateError(Exception):
    """The template cannot be read or run; the message is Go's."""


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Template:
    """One parsed template; `execute` may be called many times."""

    def __init__(
        self,
        source: str,
        name: str = "",
        functions: dict[str, tuple[Callable[..., Any], int, int | None]] = FUNCTIONS,
        *,
        strict_keys: bool = False,
    ) -> None:
        self._source = source
        self._name = name
        self._functions = functions
        self._strict = strict_keys
        try:
            parser = Parser(source, functions)
            self._nodes = parser.parse()
        except SyntaxFault as fault:
            line = source.count("\n", 0, fault.offset) + 1
            raise TemplateError(f"template: {name}:{line}: {fault.message}") from None
        except RecursionError:
            raise TemplateError(f"template: {name}: nested too deeply") from None
        self._definitions = parser.definitions

    def execute(self, value: Any) -> str:
        """The text for one value. Raises TemplateError."""
        out: list[str] = []
        self._depth = 0  # of templates that call templates
        try:
            self._walk(self._nodes, value, {"": value}, out)
        except RecursionError:
            raise TemplateError(f"template: {self._name}: nested too deeply") from None
        return "".join(out)

    def _walk(self, nodes: list[Node], dot: Any, variables: dict[str, Any], out: list[str]) -> None:
        for node in nodes:
            kind = node[0]
            if kind == "text":
                out.append(node[1])
            elif kind == "action":
                result = self._pipe(node[1], dot, variables)
                if not node[1].names:
                    out.append(values.text(result))
            elif kind == "break":
                raise _Break
            elif kind == "continue":
                raise _Continue
            elif kind == "template":
                self._call_template(node, dot, variables, out)
            else:
                self._control(node, dot, variables, out)

    def _call_template(self, node: Node, dot: Any, variables: dict[str, Any], out: list[str]) -> None:
        body = self._definitions.get(node[1])
        if body is None:
            at = Operand("constant", node[1], node[3])
            raise self._fault(at, f'template "{node[1]}" not defined', f'{{{{template "{node[1]}"}}}}')
        inner = self._pipe(node[2], dot, variables) if node[2] else None
        if self._depth >= DEEPEST:
            at = Operand("constant", node[1], node[3])
            source = f'{{{{template "{node[1]}"}}}}'
            raise self._fault(at, f"exceeded maximum template depth ({DEEPEST})", source)
        self._depth += 1
        self._walk(body, inner, {"": inner}, out)
        self._depth -= 1

    def _control(self, node: Node, dot: Any, variables: dict[str, Any], out: list[str]) -> None:
        kind, pipe, body, other = node
        scope = _Scope(variables)
        if kind == "range":
            self._range(pipe, body, other, dot, scope, out)
            return
        value = self._pipe(pipe, dot, scope)
        if values.true(value):
            self._walk(body, value if kind == "with" else dot, scope, out)
        else:
            self._walk(other, dot, scope, out)

    def _range(
        self, pipe: Pipe, body: list[Node], other: list[Node], dot: Any, scope: dict[str, Any], out: list[str]
    ) -> None:
        value = self._pipe(pipe, dot, scope, bind=False)
        items: Iterable[tuple[Any, Any]]
        if isinstance(value, dict):
            items = [(key, value[key]) for key in sorted(value)]
        elif isinstance(value, (list, tuple)):
            items = list(enumerate(value))
        elif isinstance(value, int) and not isinstance(value, bool):
            items = zip(range(value), range(value), strict=True) if value > 0 else ()
        elif value is None or isinstance(value, values.Nil):
            items = []
        else:
            operand = pipe.commands[0][0]
            raise self._fault(operand, f"range can't iterate over {values.nested(value)}")
        if not items:
            self._walk(other, dot, scope, out)
        for key, item in items:
            inner = _Scope(scope)
            for name, bound in zip(
                pipe.names, (item,) if len(pipe.names) == 1 else (key, item), strict=False
            ):
                (inner.declare if pipe.declares else inner.assign)(name, bound)
            try:
                self._walk(body, item, inner, out)
            except _Continue:
                continue
            except _Break:
                break

    def _pipe(self, pipe: Pipe, dot: Any, variables: dict[str, Any], *, bind: bool = True) -> Any:
        value: Any = _NOTHING
        for command in pipe.commands:
            value = self._command(command, dot, variables, value)
        if bind:
            for name in pipe.names:
                if isinstance(variables, _Scope) and not pipe.declares:
                    variables.assign(name, value)
                else:
                    variables[name] = value
        return value

    def _command(self, command: list[Operand], dot: Any, variables: dict[str, Any], piped: Any) -> Any:
        first = command[0]
        if first.kind == "function":
            return self._call(first, command[1:], dot, variables, piped)
        arguments = command[1:]
        if arguments or piped is not _NOTHING:
            given = [self._operand(argument, dot, variables) for argument in arguments]
            if piped is not _NOTHING:
                given.append(piped)
            return self._operand(first, dot, variables, given)
        return self._operand(first, dot, variables)

    def _call(
        self, operand: Operand, arguments: list[Operand], dot: Any, variables: dict[str, Any], piped: Any
    ) -> Any:
        name = operand.value
        function, least, most = self._functions[name]
        count = len(arguments) + (piped is not _NOTHING)
        if count < least or (most is not None and count > most):
            wanted = f"at least {least}" if most is None else str(least)
            raise self._fault(operand, f"wrong number of args for {name}: want {wanted} got {count}")
        if name in ("and", "or"):
            value: Any = None
            for argument in arguments:
                value = self._operand(argument, dot, variables)
                if values.true(value) == (name == "or"):
                    return value
            return value if piped is _NOTHING else piped
        given = [self._operand(argument, dot, variables) for argument in arguments]
        if piped is not _NOTHING:
            given.append(piped)
        try:
            result = function(*given)
        except CallFault as fault:
            whole = " ".join(part.source for part in (operand, *arguments))
            if str(fault).startswith("wrong type for value"):
                raise self._fault(arguments[0] if arguments else operand, str(fault)) from None
            raise self._fault(operand, f"error calling {name}: {fault}", whole) from None
        return self._fields(operand, result, operand.fields, None)

    def _operand(
        self, operand: Operand, dot: Any, variables: dict[str, Any], given: list[Any] | None = None
    ) -> Any:
        kind = operand.kind
        if kind == "field":
            return self._fields(operand, dot, [operand.value, *operand.fields], given)
        if kind == "dot":
            value = dot
        elif kind == "constant":
            value = operand.value
        elif kind == "variable":
            value = variables[operand.value]
        elif kind == "function":
            return self._call(operand, [], dot, variables, _NOTHING)
        elif kind == "pipe":
            value = self._pipe(operand.value, dot, variables)
        else:
            if given is None:
                raise self._fault(operand, "nil is not a command")
            value = None
        if given and not operand.fields:
            raise self._fault(operand, f"can't give argument to non-function {operand.source}")
        return self._fields(operand, value, operand.fields, given)

    def _fields(self, operand: Operand, value: Any, names: list[str], given: list[Any] | None) -> Any:
        for at, name in enumerate(names):
            arguments = given if at == len(names) - 1 else None
            value = self._field(operand, value, name, arguments or [])
        return value

    def _field(self, operand: Operand, value: Any, name: str, given: list[Any]) -> Any:
        lookup = getattr(value, "lookup", None)
        if lookup is not None:
            try:
                found = lookup(name)
            except KeyError:
                raise self._fault(
                    operand, f"can't evaluate field {name} in type {value.template_type}"
                ) from None
            if callable(found):
                try:
                    return found(*given)
                except TypeError:
                    raise self._fault(operand, f"wrong number of args for {name}: got {len(given)}") from None
            value = {name: found}
        if isinstance(value, dict):
            if given:
                raise self._fault(operand, f"{name} is not a method but has arguments")
            if name not in value:
                if self._strict and not isinstance(value, values.Loose):
                    raise self._fault(operand, f'map has no entry for key "{name}"')
                return None
            return value[name]
        if value is None:
            raise self._fault(operand, f'nil data; no entry for key "{name}"')
        if isinstance(value, values.Nil):
            if value is values.NIL_MAP:
                return None
            raise self._fault(operand, f"nil pointer evaluating {name}")
        raise self._fault(operand, f"can't evaluate field {name} in type {values.kind(value)}")

    def _fault(self, operand: Operand, message: str, source: str = "") -> TemplateError:
        before = self._source[: operand.offset]
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1)
        source = source or operand.source
        source = source if len(source) <= 20 else source[:20] + "..."
        return TemplateError(
            f'template: {self._name}:{line}:{column}: executing "{self._name}" at <{source}>: {message}'
        )


class _Scope(dict[str, "Any"]):
    """Variables of a block; assignment reaches the block that declared the name."""

    def __init__(self, outer: dict[str, Any]) -> None:
        super().__init__(outer)
        self._outer = outer
        self._own: set[str] = set()

    def declare(self, name: str, value: Any) -> None:
        self._own.add(name)
        self[name] = value

    def assign(self, name: str, value: Any) -> None:
        self[name] = value
        if name not in self._own:
            if isinstance(self._outer, _Scope):
                self._outer.assign(name, value)
            else:
                self._outer[name] = value
