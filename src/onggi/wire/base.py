"""The Engine API's JSON as frozen values.

Field names are Python's; the JSON names are Docker's and stand beside each field. Go decodes leniently,
and clients rely on it: keys match without case, null leaves the default, unknown keys are dropped.
`decode` gives the same; a value of a wrong type raises InvalidParameter (400).
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

import msgspec

from onggi.errors import InvalidParameter


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every JSON object of the Engine API."""


W = TypeVar("W", bound=Wire)


def decode(kind: type[W], body: bytes) -> W:
    """Decode a request body as Go's encoding/json would. Raises InvalidParameter."""
    try:
        return msgspec.convert(_fold(kind, msgspec.json.decode(body)), kind)
    except msgspec.DecodeError as error:  # ValidationError is one
        raise InvalidParameter(f"invalid JSON: {error}") from None


def encode(value: object) -> bytes:
    """Encode a value of this package, or a list of them, as JSON with Docker's names."""
    return msgspec.json.encode(value)


@cache
def _fields(kind: type[Wire]) -> dict[str, tuple[str, Any]]:
    """Lower-case JSON name -> (exact JSON name, declared type)."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    return {f.encode_name.lower(): (f.encode_name, f.type) for f in info.fields}


def _fold(kind: type[Wire], value: object) -> object:
    """Give keys their exact case and drop nulls, where `value` is the JSON of a `kind`."""
    return _fold_struct(kind, value) if isinstance(value, dict) else value


def _fold_struct(kind: type[Wire], value: dict[str, object]) -> dict[str, object]:
    fields = _fields(kind)
    folded: dict[str, object] = {}
    for key, item in value.items():
        known = fields.get(key.lower())
        if known is not None and item is not None:
            folded[known[0]] = _fold_type(known[1], item)
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
        return {key: _fold_type(declared.value_type, item) for key, item in value.items()}
    return value
