"""A small interpreter of classic BPF: what the kernel does with a seccomp filter and one call."""

from __future__ import annotations

import struct


def run(program: bytes, arch: int, number: int, args: tuple[int, ...] = ()) -> int:
    """The filter's return value. Fails on what the kernel's checker would refuse."""
    code = list(struct.iter_unpack("<HBBI", program))
    assert 0 < len(code) <= 4096
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, arch, 0, *(*args, *[0] * (6 - len(args))))
    accumulator = at = 0
    while True:
        operation, true, false, value = code[at]
        at += 1
        if operation == 0x20:
            assert value % 4 == 0 and value <= 60
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x05:
            at += value
        elif operation == 0x06:
            return value
        elif operation in (0x15, 0x25, 0x35):
            holds = {0x15: accumulator == value, 0x25: accumulator > value, 0x35: accumulator >= value}[
                operation
            ]
            at += true if holds else false
        else:
            raise AssertionError(f"operation {operation:#x}")
