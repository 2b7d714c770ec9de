"""A classic BPF assembler that writes backwards, so that every jump's target is known when the jump is
written.

A position is the number of instructions behind it; `bytes()` turns the program round. Conditional jumps reach
255 instructions: a farther target gets an unconditional jump (32 bits wide) in between. Equal returns are
written once wherever a jump can still reach them.

Source: linux/filter.h; Documentation/networking/filter.rst. Programs are at most BPF_MAXINSNS (4096) long.
"""

from __future__ import annotations

LD_ABS = 0x20  # BPF_LD | BPF_W | BPF_ABS: offsets into struct seccomp_data
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
JA = 0x05
JEQ = 0x15
JGT = 0x25
JGE = 0x35
RET = 0x06

OFFSET_NUMBER = 0
OFFSET_ARCH = 4
MAX_INSTRUCTIONS = 4096
_REACH = 255


class Assembler:
    """A program under construction, last instruction first."""

    __slots__ = ("_code", "_returns")

    def __init__(self) -> None:
        self._code: list[int] = []
        self._returns: dict[int, int] = {}

    def ret(self, value: int) -> int:
        """Return `value`; shared with an earlier equal return within reach."""
        at = self._returns.get(value)
        if at is None or len(self._code) - at > _REACH - 8:
            at = self._returns[value] = self._put(RET, 0, 0, value)
        return at

    def load(self, offset: int) -> int:
        """Load the 32-bit word at `offset` of seccomp_data; falls through to what was written before."""
        return self._put(LD_ABS, 0, 0, offset)

    def mask(self, value: int) -> int:
        return self._put(AND, 0, 0, value)

    def jump(self, operation: int, value: int, true: int, false: int) -> int:
        """Compare the accumulator with `value` and go to one of two positions."""
        if true == false and len(self._code) == true:
            return true
        if len(self._code) - true > _REACH - 1:
            true = self.goto(true)
        if len(self._code) - false > _REACH:
            false = self.goto(false)
        here = len(self._code)
        return self._put(operation, here - true, here - false, value)

    def goto(self, target: int) -> int:
        """Be the instruction in front of `target`, with an unconditional jump where it is not the next
        one.
        """
        distance = len(self._code) - target
        return target if distance == 0 else self._put(JA, 0, 0, distance)

    def __len__(self) -> int:
        return len(self._code)

    def __bytes__(self) -> bytes:
        return b"".join([word.to_bytes(8, "little") for word in reversed(self._code)])

    def _put(self, operation: int, true: int, false: int, value: int) -> int:
        # struct sock_filter { u16 code; u8 jt; u8 jf; u32 k; } on a little-endian machine
        self._code.append(operation | true << 16 | false << 24 | value << 32)
        return len(self._code)


def jump_if(
    program: Assembler,
    argument: int,
    operation: str,
    value: int,
    second: int,
    narrow: bool,
    ends: tuple[int, int],
) -> int:
    """Compare system call argument `argument` as the OCI operator says: go to ends[0] if it holds, else
    ends[1].

    Arguments are 64 bits, the accumulator 32: the high half decides first. Narrow architectures have no high
    half.
    """
    true, false = ends
    if operation == "SCMP_CMP_NE":
        return jump_if(program, argument, "SCMP_CMP_EQ", value, 0, narrow, (false, true))
    if operation == "SCMP_CMP_LT":
        return jump_if(program, argument, "SCMP_CMP_GE", value, 0, narrow, (false, true))
    if operation == "SCMP_CMP_LE":
        return jump_if(program, argument, "SCMP_CMP_GT", value, 0, narrow, (false, true))
    low_offset = 16 + 8 * argument
    low, high = value & 0xFFFFFFFF, value >> 32
    if operation == "SCMP_CMP_MASKED_EQ":
        at = _masked(program, low_offset, low, second & 0xFFFFFFFF, true, false)
        return at if narrow else _masked(program, low_offset + 4, high, second >> 32, at, false)
    if operation == "SCMP_CMP_EQ":
        program.jump(JEQ, low, true, false)
        at = program.load(low_offset)
        if narrow:
            return at
        program.jump(JEQ, high, at, false)
        return program.load(low_offset + 4)
    program.jump(JGE if operation == "SCMP_CMP_GE" else JGT, low, true, false)
    at = program.load(low_offset)
    if narrow:
        return at
    program.jump(JEQ, high, at, false)
    program.jump(JGT, high, true, len(program))
    return program.load(low_offset + 4)


def _masked(program: Assembler, offset: int, mask: int, wanted: int, true: int, false: int) -> int:
    """Compare one masked half; a half that the mask hides entirely always fits."""
    if mask == 0:
        return true
    program.jump(JEQ, wanted & mask, true, false)
    if mask != 0xFFFFFFFF:
        program.mask(mask)
    return program.load(offset)
