"""The Engine API's JSON as frozen values.

Field names are Python's; the JSON names are Docker's and stand beside each field.

In: Go decodes leniently, and clients rely on it: keys match without case, null leaves the default, unknown
keys are dropped, and a few lists may be given as one string (strslice). `decode` gives the same; a value of a
wrong type raises InvalidParameter (400).

Out: Go writes an empty list as `[]`, as `null` or not at all, depending on the field. Here a field is never
None where a list is meant; the two class variables say what its emptiness looks like in JSON:

    OMIT   left out when it is None or, where the type has no None, when it is empty, zero or false
    NULL   written as null when it is empty
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, NamedTuple, TypeVar

import msgspec

from onggi.errors import InvalidParameter

ZERO_TIME = "0001-01-01T00:00:00Z"  # how Go writes a time that was never set


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every JSON object of the Engine API."""

    OMIT: ClassVar[tuple[str, ...]] = ()
    NULL: ClassVar[tuple[str, ...]] = ()
    STRSLICE: ClassVar[tuple[str, ...]] = ()


W = TypeVar("W", bound=Wire)


# ------------------------------------------------------------------------------------------------- in


def decode(kind: type[W], body: bytes) -> W:
    """Decode a request body as Go's encoding/json would. Raises InvalidParameter."""
    if not body.strip():
        raise InvalidParameter("invalid JSON: got EOF while reading request body")
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidParameter(f"invalid JSON: {error}") from None
    return convert(kind, value)


def convert(kind: type[W], value: object) -> W:
    """The same for JSON that is parsed already. Raises InvalidParameter."""
    try:
        return msgspec.convert(_fold(kind, value), kind)
    except msgspec.ValidationError as error:
        raise InvalidParameter(f"invalid JSON: {error}") from None


class _Field(NamedTuple):
    attribute: str
    name: str
    declared: Any
    strslice: bool


@cache
def _fields(kind: type[Wire]) -> dict[str, _Field]:
    """Lower-case JSON name -> field."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    return {
        f.encode_name.lower(): _Field(f.name, f.encode_name, f.type, f.name in kind.STRSLICE)
        for f in info.fields
    }


def _fold(kind: type[Wire], value: object) -> object:
    """Give keys their exact case and drop nulls, where `value` is the JSON of a `kind`."""
    return _fold_struct(kind, value) if isinstance(value, dict) else value


def _fold_struct(kind: type[Wire], value: dict[str, object]) -> dict[str, object]:
    fields = _fields(kind)
    folded: dict[str, object] = {}
    for key, item in value.items():
        known = fields.get(key.lower())
        if known is None or item is None:
            continue
        if known.strslice and isinstance(item, str):
            item = [item] if item else []
        folded[known.name] = _fold_type(known.declared, item)
    return folded


def _fold_type(declared: Any, value: object) -> object:
    inspect = msgspec.inspect
    if isinstance(declared, inspect.UnionType):
        declared = next((t for t in declared.types if not isinstance(t, inspect.NoneType)), declared)
    if isinstance(declared, inspect.StructType) and isinstance(value, dict):
        return _fold_struct(declared.cls, value)  # type: ignore[arg-type]
    if isinstance(declared, inspect.ListType) and isinstance(value, list):
        return [_fold_type(declared.item_type, item) for item in value]
    if isinstance(declared, inspect.DictType) and isinstance(value, dict):
        return {
            key: _fold_type(declared.value_type, {} if item is None else item)
            if isinstance(declared.value_type, inspect.StructType | inspect.DictType)
            else _fold_type(declared.value_type, item)
            for key, item in value.items()
        }
    return value


# ------------------------------------------------------------------------------------------------- out


def encode(value: object) -> bytes:
    """Encode a value of this package, or a list of them, as JSON with Docker's names."""
    return msgspec.json.encode(_shape(value))


class _Shaped(NamedTuple):
    attribute: str
    name: str
    omit: bool
    optional: bool
    null: bool


def _shape(value: object) -> object:
    """Replace each value whose kind has OMIT or NULL fields by the dict that Go would write."""
    if isinstance(value, Wire):
        plan = _plan(type(value))
        return value if plan is None else _shape_struct(plan, value)
    if isinstance(value, list):
        return [_shape(item) for item in value]
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    return value


def _shape_struct(plan: tuple[_Shaped, ...], value: Wire) -> dict[str, object]:
    shaped: dict[str, object] = {}
    for field in plan:
        item = getattr(value, field.attribute)
        if field.omit and (item is None or (not field.optional and not item)):
            continue
        if item is msgspec.UNSET:
            continue
        if field.null and not item:
            item = None
        shaped[field.name] = _shape(item) if isinstance(item, (Wire, list, dict)) else item
    return shaped


@cache
def _plan(kind: type[Wire]) -> tuple[_Shaped, ...] | None:
    """How to write a `kind`; None where msgspec's own encoding is right all the way down."""
    if not any(k.OMIT or k.NULL for k in _reachable(kind)):
        return None
    return tuple(
        _Shaped(
            f.attribute, f.name, f.attribute in kind.OMIT, _is_optional(f.declared), f.attribute in kind.NULL
        )
        for f in _fields(kind).values()
    )


def _is_optional(declared: Any) -> bool:
    inspect = msgspec.inspect
    return isinstance(declared, inspect.UnionType) and any(
        isinstance(t, inspect.NoneType) for t in declared.types
    )


def _reachable(kind: type[Wire]) -> set[type[Wire]]:
    """The kind and all kinds of its fields, to the bottom."""
    found: set[type[Wire]] = set()
    waiting = [kind]
    while waiting:
        at = waiting.pop()
        if at not in found:
            found.add(at)
            for field in _fields(at).values():
                waiting += _kinds(field.declared)
    return found


def _kinds(declared: Any) -> list[type[Wire]]:
    inspect = msgspec.inspect
    if isinstance(declared, inspect.StructType):
        return [declared.cls]  # type: ignore[list-item]
    if isinstance(declared, inspect.UnionType):
        return [kind for t in declared.types for kind in _kinds(t)]
    if isinstance(declared, inspect.ListType):
        return _kinds(declared.item_type)
    if isinstance(declared, inspect.DictType):
        return _kinds(declared.value_type)
    return []
