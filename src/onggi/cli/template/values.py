"""How Go prints, compares and calls empty the values that JSON has.

A Struct has named fields and prints as `{a b}`; NIL_LIST, NIL_MAP and NIL_POINTER are typed nils, which
JSON writes as null and Go prints as `[]`, `map[]` and `<nil>`; None is the untyped one, `<no value>`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Nil:
    """A typed nil; `shown` is what Go prints."""

    __slots__ = ("shown",)

    def __init__(self, shown: str) -> None:
        self.shown = shown


class Loose(dict[str, "Any"]):
    """A map of users' own keys: a missing one is empty, never an error."""


class Bytes:
    """A []byte: JSON has it as base64, %v as a list of numbers, %s as text."""

    template_type = "[]uint8"
    __slots__ = ("base64", "content")

    def __init__(self, base64: str) -> None:
        import binascii

        self.base64 = base64
        self.content = binascii.a2b_base64(base64)

    def as_json(self) -> str:
        return self.base64


NIL_LIST = Nil("[]")
NIL_MAP = Nil("map[]")
NIL_POINTER = Nil("<nil>")


def text(value: Any) -> str:
    """What `{{value}}` writes."""
    return "<no value>" if value is None else nested(value)


def nested(value: Any) -> str:
    """What fmt's %v writes."""
    if value is None:
        return "<nil>"
    if isinstance(value, Nil):
        return value.shown
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Bytes):
        return "[" + " ".join(map(str, value.content)) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{nested(key)}:{nested(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(map(nested, value)) + "]"
    return str(value)


def number(value: float) -> str:
    """%v of a float: the shortest form, an exponent from 1e21 on and below 1e-4."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0 or 1e-4 <= abs(value) < 1e21:
        shown = repr(value)
        if "e" in shown or shown.endswith(".0"):
            shown = f"{value:.0f}" if value == int(value) else f"{value:f}".rstrip("0")
        return shown
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        mantissa, _, exponent = f"{value:e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".")
    mantissa = mantissa.removesuffix(".0")
    return f"{mantissa}e{exponent[0] if exponent[0] in '+-' else '+'}{exponent.lstrip('+-').zfill(2)}"


def true(value: Any) -> bool:
    """Go's idea of a non-empty value."""
    if value is None or isinstance(value, Nil):
        return False
    if isinstance(value, Bytes):
        return bool(value.content)
    if isinstance(value, (bool, int, float, str, list, tuple, dict)):
        return bool(value)
    return True


def kind(value: Any) -> str:
    """The type's name in error texts."""
    if value is None or isinstance(value, Nil):
        return "nil"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float64"
    if isinstance(value, str):
        return "string"
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, (list, tuple)):
        return "[]interface {}"
    return str(getattr(value, "template_type", type(value).__name__))
