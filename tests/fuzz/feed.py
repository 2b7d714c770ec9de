"""Turns the bytes of a fuzzer into choices, texts and documents, the same way each time."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")

WEIRD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    -(2**63),
    2**64,
    10**30,
    0.5,
    1e308,
    "",
    "\0",
    "/",
    "..",
    "a" * 300,
    "\ud800",
    "é\u202e",
    "0",
    "-1",
    "99999999999999999999",
    "a=b",
    "a:b:c:d",
    "1.2.3.4/33",
    "\n",
    [],
    {},
    [None],
    [[]],
    [{}],
    {"": None},
    {"a": []},
    ["", "a"],
    [0],
    [2**70],
    [[["x"]]],
)
SOUP = tuple("/:@.,=-_%&?#[]{}\"'\\ \0\n\t$~^*!()<>|;aZ09é\ud800")


class Feed:
    """Takes from the front; what is asked for beyond the end is zero."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def empty(self) -> bool:
        return self._at >= len(self._data)

    def byte(self) -> int:
        if self.empty:
            return 0
        self._at += 1
        return self._data[self._at - 1]

    def below(self, limit: int) -> int:
        value = self.byte() if limit <= 256 else self.byte() << 8 | self.byte()
        return value % limit

    def one(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def bytes(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        self._at += count
        return found

    def rest(self) -> bytes:
        return self.bytes(len(self._data))

    def text(self) -> str:
        """A short text of signs that parsers care about, now and then any bytes at all."""
        kind, length = self.byte() % 4, self.byte() % 24
        if kind == 0:
            return self.bytes(length).decode("utf-8", "replace")
        return "".join(self.one(SOUP) for _ in range(length))

    def value(self) -> Any:
        kind = self.byte() % 4
        if kind == 0:
            return self.text()
        if kind == 1:
            return self.byte() - 128
        return copy.deepcopy(self.one(WEIRD))

    def mutated(self, document: Any) -> Any:
        """A JSON document with up to eight places changed, taken away or added."""
        found = copy.deepcopy(document)
        for _ in range(self.byte() % 8):
            found = self._changed(found)
        return found

    def _changed(self, document: Any) -> Any:
        if not isinstance(document, (dict, list)):
            return self.value()
        holder, depth = document, 0
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = self.one(keys)
            inner = holder[key]
            if isinstance(inner, (dict, list)) and inner and self.byte() % 4 and depth < 20:
                holder, depth = inner, depth + 1
                continue
            self._put(holder, key)
            return document
        return self.value() if holder is document else document

    def _put(self, holder: Any, key: Any) -> None:
        what = self.byte() % 4
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, dict):
            holder[self.text()] = self.value()
        elif what == 1:
            holder.insert(key, self.value())
        else:
            holder[key] = self.value()


def json_bytes(document: Any) -> bytes:
    """JSON, with lone surrogates as they stand."""
    return json.dumps(document).encode("utf-8", "surrogatepass")
