"""Device rules: the OCI list folded to one default and its exceptions, then v1 lines or a BPF program.

The kernel's v1 controller and the program give the same verdicts. A group starts with everything denied.
A narrow denial inside a wider grant has no v1 form and is refused, as runc does.

Source: OCI runtime specification, config-linux.md, "Allowed Device list";
Documentation/admin-guide/cgroup-v1/ devices.rst; linux/bpf.h, struct bpf_cgroup_dev_ctx.
"""

from __future__ import annotations

from onggi.errors import InvalidParameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Key = tuple[str, int, int]  # "b" or "c", major, minor; -1 is any

MKNOD, READ, WRITE = 1, 2, 4  # BPF_DEVCG_ACC_*
_BITS = {"m": MKNOD, "r": READ, "w": WRITE}
_ANY = -1

# What every container may use, after its own rules: making nodes, null, zero, full, random, urandom, tty,
# ptmx, pts.
DEFAULT_RULES: tuple[dict[str, Any], ...] = (
    {"allow": True, "type": "c", "access": "m"},
    {"allow": True, "type": "b", "access": "m"},
    *(
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
        for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2))
    ),
    {"allow": True, "type": "c", "major": 136, "access": "rwm"},
)


def fold(rules: Iterable[dict[str, Any]]) -> tuple[bool, dict[Key, int]]:
    """(what holds by default, {device: access bits of the exception})."""
    default = False
    exceptions: dict[Key, int] = {}
    for position, rule in enumerate(rules):
        kinds, key, access = _parsed(rule, f"linux.resources.devices[{position}]")
        allow = bool(rule.get("allow"))
        if kinds == "a":
            default, exceptions = allow, {}
        elif allow != default:
            exceptions[key] = exceptions.get(key, 0) | access
        else:
            _withdraw(exceptions, key, access, position)
    return default, exceptions


def _withdraw(exceptions: dict[Key, int], key: Key, access: int, position: int) -> None:
    for other in list(exceptions):
        if not exceptions[other] & access:
            continue
        if _covers(key, other):
            exceptions[other] &= ~access
            if not exceptions[other]:
                del exceptions[other]
        elif _covers(other, key):
            raise InvalidParameter(
                f"linux.resources.devices[{position}]: {_text(key, access)!r} takes back a part of "
                f"{_text(other, exceptions[other])!r}, which cgroup v1 cannot express"
            )


def _covers(wide: Key, narrow: Key) -> bool:
    return wide[0] == narrow[0] and wide[1] in (_ANY, narrow[1]) and wide[2] in (_ANY, narrow[2])


def _parsed(rule: dict[str, Any], where: str) -> tuple[str, Key, int]:
    kind = rule.get("type") or "a"
    if kind not in ("a", "b", "c", "u", "p"):
        raise InvalidParameter(f"{where}.type: {kind!r} is not a, b or c")
    letters = rule.get("access") or "rwm"
    access = 0
    for letter in letters:
        if letter not in _BITS:
            raise InvalidParameter(f"{where}.access: {letters!r} is not made of r, w and m")
        access |= _BITS[letter]
    numbers = []
    for name in ("major", "minor"):
        number = rule.get(name)
        if number is None or number == -1:
            number = _ANY
        elif type(number) is not int or not 0 <= number < 1 << 32:
            raise InvalidParameter(f"{where}.{name}: {number!r} is not a device number")
        numbers.append(number)
    return kind, ("c" if kind == "u" else kind, numbers[0], numbers[1]), access


def _text(key: Key, access: int) -> str:
    """A line of devices.allow."""
    major, minor = ("*" if number == _ANY else str(number) for number in key[1:])
    return f"{key[0]} {major}:{minor} {''.join(letter for letter in 'rwm' if _BITS[letter] & access)}"


def lines(rules: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    """(file, line) to write in order: the default first, then its exceptions."""
    default, exceptions = fold(rules)
    file = "devices.deny" if default else "devices.allow"
    start = ("devices.allow" if default else "devices.deny", "a")
    return [start, *((file, _text(key, access)) for key, access in exceptions.items())]


def program(rules: Iterable[dict[str, Any]]) -> bytes:
    """The rules as a BPF_PROG_TYPE_CGROUP_DEVICE program: 1 lets the operation pass, 0 is EPERM.

    r2 the kind of device, r3 what is asked for, r4 major, r5 minor, r1 scratch.
    """
    default, exceptions = fold(rules)
    code = [
        _op(0x61, 2, 1, 0, 0),  # r2 = access_type
        _op(0xBC, 3, 2, 0, 0),
        _op(0x54, 2, 0, 0, 0xFFFF),
        _op(0x74, 3, 0, 0, 16),
        _op(0x61, 4, 1, 4, 0),
        _op(0x61, 5, 1, 8, 0),
    ]
    for key, access in exceptions.items():
        code += _exception(key, access, default)
    code += _end(default)
    return b"".join(code)


def _exception(key: Key, access: int, default: bool) -> list[bytes]:
    """Leave with the opposite of the default if the device fits.

    A grant must cover all that is asked for; a denial holds if it touches any of it.
    """
    tests: list[tuple[int, int, int]] = [(0x56, 2, {"b": 1, "c": 2}[key[0]])]  # BPF_JMP32 | BPF_JNE
    if default:
        tests.append((0x16, 1, 0))  # nothing denied is asked for: BPF_JMP32 | BPF_JEQ
    elif access != 7:
        tests.append((0x56, 1, 0))
    tests += [(0x56, register, number) for register, number in ((4, key[1]), (5, key[2])) if number != _ANY]
    body: list[bytes] = []
    scratch = default or access != 7
    total = len(tests) + (2 if scratch else 0) + 2
    for operation, register, value in tests:
        if register == 1:
            body.append(_op(0xBC, 1, 3, 0, 0))
            body.append(_op(0x54, 1, 0, 0, access if default else ~access & 7))
        body.append(_op(operation, register, 0, total - len(body) - 1, value))
    return body + _end(not default)


def _end(verdict: bool) -> list[bytes]:
    return [_op(0xB7, 0, 0, 0, int(verdict)), _op(0x95, 0, 0, 0, 0)]


def _op(code: int, destination: int, source: int, offset: int, value: int) -> bytes:
    """struct bpf_insn { u8 code; u8 dst:4, src:4; s16 off; s32 imm; }"""
    return (
        bytes((code, destination | source << 4))
        + offset.to_bytes(2, "little")
        + (value & 0xFFFFFFFF).to_bytes(4, "little")
    )
