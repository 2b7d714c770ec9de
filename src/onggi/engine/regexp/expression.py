"""Is a regular expression found in a text? All ways are gone at once: the time is linear in the text.

The tree becomes a program of four instructions; the places in it that are alive are a state, and where a
state goes with a character is worked out once. Steps that are worked out are counted: an expression made to
cost much ends in TooCostly after some ten milliseconds, whatever the number of expressions and of texts.
Source: R. Cox, "Regular Expression Matching Can Be Simple And Fast" and its second part, 2007 to 2009.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from onggi.engine.regexp.syntax import Assertion, Chars, Choice, Invalid, Node, Sequence, parse

PROGRAM_MAX = 2000
STEPS_MAX = 20_000  # a dozen expressions as people write them take some hundred

FOUND = -1  # in the place of a state
_BEGIN, _NEWLINE, _WORD, _OTHER = range(4)  # what stood before a place


class TooCostly(Exception):
    """The steps that were left did not suffice."""


class Budget:
    """The steps that the expressions of one request may take together."""

    def __init__(self, steps: int = STEPS_MAX) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        """Raises TooCostly."""
        self.left -= steps
        if self.left < 0:
            raise TooCostly


class _Take(NamedTuple):
    chars: Chars
    after: int


class _Check(NamedTuple):
    kind: str
    after: int


class _Split(NamedTuple):
    after: tuple[int, ...]


class _Found(NamedTuple):
    pass


class Expression:
    """Raises Invalid (the text), TooCostly when it is compiled or searched for."""

    def __init__(self, text: str, budget: Budget | None = None) -> None:
        self._budget = budget or Budget()
        self._budget.spend(len(text))
        self._program: list[_Take | _Check | _Split | _Found] = [_Found()]
        self._start = self._emit(parse(text), 0)
        self._budget.spend(len(self._program))
        self._states: list[tuple[frozenset[int], int]] = []
        self._numbers: dict[tuple[frozenset[int], int], int] = {}
        self._ways: list[dict[str, int]] = []  # of each state: character -> state; "" is the end
        self._number(frozenset({self._start}), _BEGIN)

    def search(self, text: str) -> bool:
        """Is it found anywhere in the text?"""
        state = 0
        for char in text:
            way = self._ways[state].get(char)
            state = self._step(state, char) if way is None else way
            if state == FOUND:
                return True
        way = self._ways[state].get("")
        return (self._step(state, "") if way is None else way) == FOUND

    # -- the program, from its end to its beginning

    def _emit(self, node: Node, after: int) -> int:
        """Where the node begins, when what follows it begins at `after`."""
        if isinstance(node, Chars):
            return self._add(_Take(node, after))
        if isinstance(node, Assertion):
            return self._add(_Check(node.kind, after))
        if isinstance(node, Sequence):
            for part in reversed(node.parts):
                after = self._emit(part, after)
            return after
        if isinstance(node, Choice):
            return self._add(_Split(tuple(self._emit(branch, after) for branch in node.branches)))
        if node.most is None:
            start = self._add(_Split(()))
            self._program[start] = _Split((self._emit(node.part, start), after))
        else:
            start = after
            for _ in range(node.most - node.least):
                start = self._add(_Split((self._emit(node.part, start), after)))
        return self._repeated(node.part, node.least, start)

    def _repeated(self, part: Node, times: int, after: int) -> int:
        for _ in range(times):
            start = self._emit(part, after)
            if start == after:  # nothing, as often as it may be
                break
            after = start
        return after

    def _add(self, instruction: _Take | _Check | _Split) -> int:
        if len(self._program) >= PROGRAM_MAX:
            raise Invalid("expression too large")
        self._program.append(instruction)
        return len(self._program) - 1

    # -- states

    def _number(self, places: frozenset[int], before: int) -> int:
        key = (places, before)
        if key not in self._numbers:
            self._numbers[key] = len(self._states)
            self._states.append(key)
            self._ways.append({})
        return self._numbers[key]

    def _step(self, state: int, char: str) -> int:
        places, before = self._states[state]
        reached = self._reached(places, before, char)
        if 0 in reached:
            way = FOUND
        else:
            following = {self._start}
            for place in reached if char else ():
                instruction = self._program[place]
                if isinstance(instruction, _Take) and instruction.chars.holds(char):
                    following.add(instruction.after)
            way = self._number(frozenset(following), _kind(char))
        self._ways[state][char] = way
        return way

    def _reached(self, places: Iterable[int], before: int, char: str) -> set[int]:
        """The places, and those that are reached from them without a character, in front of `char`."""
        todo, reached = list(places), set(places)
        while todo:
            instruction = self._program[todo.pop()]
            onward: tuple[int, ...] = ()
            if isinstance(instruction, _Split):
                onward = instruction.after
            elif isinstance(instruction, _Check) and _holds(instruction.kind, before, char):
                onward = (instruction.after,)
            for place in onward:
                if place not in reached:
                    reached.add(place)
                    todo.append(place)
        self._budget.spend(len(reached))
        return reached


def _kind(char: str) -> int:
    if char == "\n":
        return _NEWLINE
    return _WORD if char.isascii() and (char.isalnum() or char == "_") else _OTHER


def _holds(kind: str, before: int, char: str) -> bool:
    match kind:
        case "begin":
            return before == _BEGIN
        case "line begin":
            return before in (_BEGIN, _NEWLINE)
        case "end":
            return not char
        case "line end":
            return char in ("", "\n")
    at_word = (before == _WORD) is not (bool(char) and _kind(char) == _WORD)
    return at_word is (kind == "word")
