"""The OCI seccomp profile language, compiled to one classic BPF program.

    load arch ; for each architecture: jump to its section ; else kill
    section:    load number ; x32 guard ; binary tree over the ranges of numbers that share a verdict
    leaf:       return, or the argument rules of one call in the order of the profile

The verdicts are libseccomp's as runc uses it: a rule without arguments wins over those with; a rule that
names an argument twice is a rule for each; names that an architecture lacks are skipped; a profile that
denies by default answers ENOSYS, not its default, to numbers above all it names, so that C libraries fall
back for newer calls. A rule for socket(2) and its like without arguments also covers socketcall(2) and
ipc(2) on x86.

Source: OCI runtime specification 1.2, config-linux.md, "Seccomp"; seccomp(2).
"""

from __future__ import annotations

import marshal

from onggi.errors import InvalidParameter
from onggi.runtime.seccomp import assembler, tables, words
from onggi.runtime.seccomp.assembler import Assembler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Argument = tuple[int, str, int, int]  # index, operator, value, valueTwo
    Rule = tuple[int, tuple[Argument, ...]]  # what the kernel shall do, when all of these hold
    Verdicts = dict[int, "int | list[Rule]"]

_CACHE_LIMIT = 64
_cache: dict[bytes, Filter] = {}


class Filter:
    """A compiled filter: what seccomp(2) takes. `program` is an array of struct sock_filter."""

    __slots__ = ("flags", "program")

    def __init__(self, program: bytes, flags: int) -> None:
        self.program = program
        self.flags = flags

    def __repr__(self) -> str:
        return f"Filter({len(self.program) // 8} instructions, flags={self.flags})"


def compile(profile: dict[str, Any], *, arch: str | None = None) -> Filter:
    """Compile an OCI `linux.seccomp` object for a machine of `arch` (default: this one).

    Raises InvalidParameter with the path of what is wrong. Results are kept, by content.
    """
    native = arch or words.machine_arch()
    key = marshal.dumps((native, profile), 2)
    found = _cache.get(key)
    if found is None:
        if len(_cache) >= _CACHE_LIMIT:
            _cache.clear()
        found = _cache[key] = _compile(profile, native)
    return found


def _compile(profile: dict[str, Any], native: str) -> Filter:
    if native not in words.AUDIT_ARCH:
        raise InvalidParameter(f"linux.seccomp: no system call table for the architecture {native}")
    if profile.get("listenerPath") or profile.get("listenerMetadata"):
        raise InvalidParameter("linux.seccomp.listenerPath: seccomp notification is not supported")
    default = _action(profile, "defaultAction", "defaultErrnoRet", "linux.seccomp")
    rules = _rules(_listed(profile, "syscalls", "linux.seccomp"), default)
    program = Assembler()
    _sections(program, _arches(profile, native), rules, default)
    if len(program) > assembler.MAX_INSTRUCTIONS:
        raise InvalidParameter(
            f"linux.seccomp: the filter has {len(program)} instructions, the kernel takes 4096"
        )
    return Filter(bytes(program), _flags(profile))


def _listed(entry: dict[str, Any], key: str, where: str, kind: type | None = None) -> list[Any]:
    """An array, empty where it is missing or null, all of one kind where that is given."""
    found = entry.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise InvalidParameter(f"{where}.{key}: {found!r} is not an array")
    for position, item in enumerate(found):
        if kind is not None and not isinstance(item, kind):
            raise InvalidParameter(
                f"{where}.{key}[{position}]: {item!r} is not of the kind that belongs there"
            )
    return found


def _action(entry: dict[str, Any], key: str, errno_key: str, where: str) -> int:
    name, errno = entry.get(key), entry.get(errno_key)
    if not isinstance(name, str) or name not in words.ACTIONS:
        raise InvalidParameter(f"{where}.{key}: {name!r} is not a seccomp action")
    if name == "SCMP_ACT_NOTIFY":
        raise InvalidParameter(f"{where}.{key}: SCMP_ACT_NOTIFY needs a listenerPath, which is not supported")
    value = words.ACTIONS[name]
    if name in words.ACTIONS_WITH_DATA:
        return value | (words.EPERM if errno is None else _unsigned(errno, 16, f"{where}.{errno_key}"))
    if errno is not None:
        raise InvalidParameter(f"{where}.{errno_key}: {errno!r} has no meaning with {name}")
    return value


def _unsigned(value: object, bits: int, where: str) -> int:
    if type(value) is not int or not 0 <= value < 1 << bits:
        raise InvalidParameter(f"{where}: {value!r} is not an unsigned number of {bits} bits")
    return value


def _flags(profile: dict[str, Any]) -> int:
    if profile.get("flags") is None:
        return words.FLAG_SPEC_ALLOW  # runc's default: no penalty of speculative store bypass on every filter
    value = 0
    for flag in _listed(profile, "flags", "linux.seccomp", str):
        if flag not in words.FLAGS:
            raise InvalidParameter(f"linux.seccomp.flags: {flag!r} is not a seccomp flag")
        value |= words.FLAGS[flag]
    return value


def _arches(profile: dict[str, Any], native: str) -> list[str]:
    """The architectures of the profile, the machine's own first and always."""
    arches = [native]
    for name in _listed(profile, "architectures", "linux.seccomp", str):
        arch = words.ARCHES.get(name)
        if arch is None and name not in words.FOREIGN_ARCHES:
            raise InvalidParameter(f"linux.seccomp.architectures: {name!r} is not an architecture")
        if arch is not None and arch not in arches:
            arches.append(arch)
    return arches


def _rules(syscalls: list[Any], default: int) -> list[tuple[list[str], Rule]]:
    """The profile's rules in order, checked; those that say what the default says are left out, as runc
    does.
    """
    found: list[tuple[list[str], Rule]] = []
    for position, entry in enumerate(syscalls):
        where = f"linux.seccomp.syscalls[{position}]"
        if not isinstance(entry, dict) or not entry.get("names"):
            raise InvalidParameter(f"{where}.names: a rule names at least one system call")
        names = _listed(entry, "names", where, str)
        action = _action(entry, "action", "errnoRet", where)
        if action == default:
            continue
        arguments = [_argument(one, f"{where}.args") for one in _listed(entry, "args", where, dict)]
        if len({one[0] for one in arguments}) < len(arguments):
            found += [(names, (action, (one,))) for one in arguments]
        else:
            found.append((names, (action, tuple(arguments))))
    return found


def _argument(entry: dict[str, Any], where: str) -> Argument:
    operator = entry.get("op")
    if not isinstance(operator, str) or operator not in words.OPERATORS:
        raise InvalidParameter(f"{where}.op: {operator!r} is not an operator")
    index = _unsigned(entry.get("index"), 32, f"{where}.index")
    if index > 5:
        raise InvalidParameter(f"{where}.index: {index} is not one of a system call's six arguments")
    value = _unsigned(entry.get("value", 0), 64, f"{where}.value")
    second = _unsigned(entry.get("valueTwo", 0), 64, f"{where}.valueTwo")
    return index, operator, value, second


def _verdicts(arch: str, rules: list[tuple[list[str], Rule]]) -> Verdicts:
    """What each number of one architecture meets: an action, or rules on its arguments."""
    numbers = tables.numbers(arch)
    found: Verdicts = {}
    multiplexed: list[tuple[str, Rule]] = []
    for names, rule in rules:
        for name in names:
            number = numbers.get(name)
            if number is not None:
                _add(found, number, rule)
            if arch == "x86" and not rule[1]:
                if name in words.SOCKETCALL:
                    multiplexed.append(
                        ("socketcall", (rule[0], ((0, "SCMP_CMP_EQ", words.SOCKETCALL[name], 0),)))
                    )
                if name in words.IPC:
                    multiplexed.append(("ipc", (rule[0], ((0, "SCMP_CMP_EQ", words.IPC[name], 0),))))
    for name, rule in multiplexed:
        _add(found, numbers[name], rule)
    return found


def _add(found: Verdicts, number: int, rule: Rule) -> None:
    action, arguments = rule
    present = found.get(number)
    if not arguments:
        if not isinstance(present, int):
            found[number] = action
    elif present is None:
        found[number] = [rule]
    elif isinstance(present, list):
        present.append(rule)


def _sections(
    program: Assembler, arches: list[str], rules: list[tuple[list[str], Rule]], default: int
) -> None:
    """Write all architectures, the last one first, and the dispatch in front of them."""
    entries: list[tuple[int, int]] = []
    for arch in reversed(arches):
        if arch == "x32":
            continue  # a part of x86_64's section
        ranges = _ranges(_verdicts(arch, rules), default)
        if arch == "x86_64":
            extra = _ranges(_verdicts("x32", rules), default) if "x32" in arches else None
            at = _with_x32(program, ranges, extra, default)
        else:
            at = _tree(program, ranges, default, arch in words.NARROW)
        program.goto(at)
        entries.append((words.AUDIT_ARCH[arch], program.load(assembler.OFFSET_NUMBER)))
    following = program.goto(program.ret(words.RET_KILL_THREAD))
    for audit, entry in entries:
        following = program.jump(assembler.JEQ, audit, entry, following)
    program.load(assembler.OFFSET_ARCH)


def _with_x32(
    program: Assembler, ranges: list[tuple[int, Any]], extra: list[tuple[int, Any]] | None, default: int
) -> int:
    """x86_64's tree with x32 behind bit 30: its own tree where the profile has it, else the end of the
    thread.

    Number -1 is what a tracer leaves to skip a call: it gets the default, not the guard.
    """
    if extra is None:
        high = _tree(program, [(0, words.RET_KILL_THREAD), (0xFFFFFFFF, default)], default, True)
    else:
        high = _tree(program, [(start | words.X32_BIT, what) for start, what in extra], default, True)
    low = _tree(program, ranges, default, False)
    return program.jump(assembler.JGE, words.X32_BIT, high, low)


def _ranges(verdicts: Verdicts, default: int) -> list[tuple[int, Any]]:
    """(first number, verdict) in order, neighbours with one verdict joined."""
    beyond = default
    if default & 0xFFFF0000 not in (words.RET_ALLOW, words.RET_LOG, words.RET_TRACE):
        beyond = words.RET_ERRNO | words.ENOSYS
    if not verdicts:
        return [(0, default)]
    found: list[tuple[int, Any]] = []
    following = 0
    last: Any = None
    for number in sorted(verdicts):
        gap = beyond if number >= words.ARM_PRIVATE else default
        if number > following and last != gap:
            found.append((following, gap))
            last = gap
        verdict = verdicts[number]
        if verdict != last:
            found.append((number, verdict))
            last = verdict
        following = number + 1
    if last != beyond:
        found.append((following, beyond))
    if found[0][0] != 0:
        found.insert(0, (0, default))
    return found


def _tree(program: Assembler, ranges: list[tuple[int, Any]], default: int, narrow: bool) -> int:
    """A balanced tree of comparisons; its position is where the accumulator holds the number."""
    if len(ranges) == 1:
        return _leaf(program, ranges[0][1], default, narrow)
    middle = len(ranges) // 2
    upper = _tree(program, ranges[middle:], default, narrow)
    lower = _tree(program, ranges[:middle], default, narrow)
    return program.jump(assembler.JGE, ranges[middle][0], upper, lower)


def _leaf(program: Assembler, verdict: int | list[Rule], default: int, narrow: bool) -> int:
    if isinstance(verdict, int):
        return program.ret(verdict)
    following = program.ret(default)
    for action, arguments in reversed(verdict):
        following = _rule(program, action, arguments, following, narrow)
    return following


def _rule(
    program: Assembler, action: int, arguments: tuple[Argument, ...], otherwise: int, narrow: bool
) -> int:
    """All of the arguments hold: the action. Else: on to `otherwise`."""
    at = program.ret(action)
    for index, operator, value, second in reversed(arguments):
        at = assembler.jump_if(program, index, operator, value, second, narrow, (at, otherwise))
    return at
