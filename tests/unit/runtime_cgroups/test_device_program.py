"""The BPF program's verdicts, in an interpreter, against the rules read naively."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from onggi.runtime.cgroups import devices


def run(program: bytes, kind: str, major: int, minor: int, access: int) -> bool:
    code = [
        (op, regs & 15, regs >> 4, offset, value)
        for op, regs, offset, value in struct.iter_unpack("<BBhI", program)
    ]
    context = {0: access << 16 | {"b": 1, "c": 2}[kind], 4: major, 8: minor}
    register = [0] * 10
    at = 0
    while True:
        op, destination, source, offset, value = code[at]
        at += 1
        if op == 0x61:
            register[destination] = context[offset]
        elif op == 0xBC:
            register[destination] = register[source]
        elif op == 0x54:
            register[destination] &= value
        elif op == 0x74:
            register[destination] >>= value
        elif op == 0xB7:
            register[destination] = value
        elif op == 0x95:
            return bool(register[0])
        elif op in (0x56, 0x16):
            if (register[destination] == value) == (op == 0x16):
                at += offset
        else:
            raise AssertionError(hex(op))


RULE = st.builds(
    lambda kind, major, minor, access: {
        "allow": True,
        "type": kind,
        "major": major,
        "minor": minor,
        "access": access,
    },
    st.sampled_from("bc"),
    st.sampled_from([-1, 0, 1, 5]),
    st.sampled_from([-1, 0, 3]),
    st.sampled_from(["r", "w", "m", "rw", "rwm"]),
)


@given(
    st.lists(RULE, max_size=6),
    st.sampled_from("bc"),
    st.integers(0, 6),
    st.integers(0, 4),
    st.integers(1, 7),
    st.booleans(),
)
def test_verdicts(
    rules: list[dict[str, Any]], kind: str, major: int, minor: int, access: int, default: bool
) -> None:
    bits = {"m": 1, "r": 2, "w": 4}
    start = [{"allow": default, "type": "a"}]
    listed = [{**rule, "allow": not default} for rule in rules]
    merged: dict[Any, int] = {}
    for rule in rules:
        key = (rule["type"], rule["major"], rule["minor"])
        merged[key] = merged.get(key, 0) | sum(bits[letter] for letter in rule["access"])
    fits = [
        granted
        for (of, one, two), granted in merged.items()
        if of == kind and one in (-1, major) and two in (-1, minor)
        if (granted & access if default else not access & ~granted)
    ]
    wanted = not default if fits else default
    assert run(devices.program([*start, *listed]), kind, major, minor, access) is wanted
