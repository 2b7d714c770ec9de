# ruff: noqa: E501
"""Our filters and libseccomp's, side by side in an interpreter: the same verdict for every call and
argument.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onggi.engine.oci import seccomp_profiles
from onggi.errors import InvalidParameter
from onggi.runtime import capabilities, seccomp
from onggi.runtime.seccomp import compiler, tables, words

sys.path.insert(0, os.path.dirname(__file__))
import bpf

pyseccomp = pytest.importorskip("pyseccomp", exc_type=ImportError)

ORACLE_ARCH = {
    "x86_64": "X86_64", "x86": "X86", "x32": "X32", "aarch64": "AARCH64", "arm": "ARM", "riscv64": "RISCV64",
}  # fmt: skip
BOUNDARIES = (0, 1, 7, 8, 37, 38, 39, 40, 41, 0x20000, 0x20008, 0x7E020000, 0x10000000, 0x02000000, 0x40000000,
              0xFFFFFFFF, 0x100000000, 0x100000028, 1 << 63, (1 << 64) - 1)  # fmt: skip


def oracle(profile: dict[str, Any], native: str) -> bytes:
    """The profile through libseccomp, driven as runc drives it."""

    def action(name: str, errno: int | None) -> int:
        return words.ACTIONS[name] | (
            (1 if errno is None else errno) if name in words.ACTIONS_WITH_DATA else 0
        )

    default = action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    filter_ = pyseccomp.SyscallFilter(default)
    arches = [words.ARCHES[name] for name in profile.get("architectures", ())]
    for arch in dict.fromkeys([native, *arches]):
        if not filter_.exist_arch(getattr(pyseccomp.Arch, ORACLE_ARCH[arch])):
            filter_.add_arch(getattr(pyseccomp.Arch, ORACLE_ARCH[arch]))
    if native != words.machine_arch():
        filter_.remove_arch(getattr(pyseccomp.Arch, ORACLE_ARCH[words.machine_arch()]))
    for rule in profile["syscalls"]:
        wanted = action(rule["action"], rule.get("errnoRet"))
        if wanted == default:
            continue
        arguments = [
            pyseccomp.Arg(a["index"], getattr(pyseccomp, a["op"][9:]), a["value"], a.get("valueTwo", 0))
            if a["op"] == "SCMP_CMP_MASKED_EQ"
            else pyseccomp.Arg(a["index"], getattr(pyseccomp, a["op"][9:]), a["value"])
            for a in rule.get("args", ())
        ]
        for name in rule["names"]:
            if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) == -1:
                continue  # newer than this libseccomp
            filter_.add_rule(wanted, name, *arguments)
    with tempfile.TemporaryFile() as file:
        filter_.export_bpf(file)
        file.seek(0)
        return file.read()


def calls(arch: str) -> Iterator[tuple[int, int]]:
    """(audit arch, number) of everything both sides know, up to libseccomp 2.5.4's last call."""
    bit = words.X32_BIT if arch == "x32" else 0
    for name, number in tables.numbers(arch).items():
        if number >= words.ARM_PRIVATE and name not in ("breakpoint", "cacheflush", "set_tls"):
            continue  # above all that the policy names: ENOSYS, like every newer call
        if pyseccomp.resolve_syscall(getattr(pyseccomp.Arch, ORACLE_ARCH[arch]), name) == number | bit:
            yield words.AUDIT_ARCH[arch], number | bit


def differences(profile: dict[str, Any], native: str, arches: list[str]) -> list[str]:
    ours, theirs = seccomp.compile(profile, arch=native).program, oracle(profile, native)
    wrong = []
    for arch in arches:
        numbers = tables.numbers(arch)
        last = max(numbers.get(name, 0) for one in profile["syscalls"] for name in one["names"])
        for audit, number in calls(arch):
            if number & ~words.X32_BIT > last and profile["defaultAction"] != "SCMP_ACT_ALLOW":
                continue  # newer than the profile: ENOSYS, by runc's rule and not by libseccomp's
            for value in BOUNDARIES:
                if arch in words.NARROW and value >> 32:
                    continue
                for args in ((value,), (0, value), (0, 0, value)):
                    got, want = bpf.run(ours, audit, number, args), bpf.run(theirs, audit, number, args)
                    if got != want:
                        wrong.append(f"{arch} {number} {args}: {got:#x}, libseccomp {want:#x}")
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    "caps", [capabilities.DOCKER_DEFAULT, (), capabilities.NAMES], ids=["docker", "none", "all"]
)
@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_dockers_default_policy_has_libseccomps_verdicts(caps: tuple[str, ...], arch: str) -> None:
    profile = seccomp.default_profile(caps, arch)
    arches = [words.ARCHES[name] for name in profile["architectures"]]
    assert differences(profile, arch, arches) == []


def rule(
    name: str, action: str, *args: tuple[int, str, int, int], errno: int | None = None
) -> dict[str, Any]:
    made: dict[str, Any] = {"names": [name], "action": action}
    if args:
        made["args"] = [
            {"index": i, "op": f"SCMP_CMP_{op}", "value": v, "valueTwo": w} for i, op, v, w in args
        ]
    if errno is not None:
        made["errnoRet"] = errno
    return made


@pytest.mark.parametrize("operator", ["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"])
@pytest.mark.parametrize("value", [0, 40, 0xFFFFFFFF, 0x100000028, 0x7E020000, 1 << 63])
def test_each_operator_on_64_bit_arguments(operator: str, value: int) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            rule("getpriority", "SCMP_ACT_ERRNO", (0, operator, value, value & 0xFFF000FFF), errno=7)
        ],
    }
    assert differences(profile, "x86_64", ["x86_64"]) == []


def test_all_arguments_of_a_rule_must_hold() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [rule("read", "SCMP_ACT_ALLOW", (0, "EQ", 0, 0), (1, "GT", 37, 0), (2, "NE", 40, 0))],
    }
    assert differences(profile, "x86_64", ["x86_64"]) == []


@pytest.mark.parametrize("action", [a for a in words.ACTIONS if a != "SCMP_ACT_NOTIFY"])
def test_each_action(action: str) -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("getppid", action)]}
    assert differences(profile, "x86_64", ["x86_64"]) == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"architectures": 5}, "linux.seccomp.architectures: 5"),
        ({"architectures": [[]]}, r"linux.seccomp.architectures\[0\]"),
        ({"flags": [["x"]]}, r"linux.seccomp.flags\[0\]"),
        ({"syscalls": "read"}, "linux.seccomp.syscalls: 'read'"),
        ({"syscalls": [{"names": [5], "action": "SCMP_ACT_ALLOW"}]}, r"syscalls\[0\].names\[0\]: 5"),
        ({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [1]}]}, r"args\[0\]: 1"),
        (
            {"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "op": []}]}]},
            r"args.op: \[\]",
        ),
    ],
)
def test_a_profile_of_the_wrong_shape_is_refused_by_its_path(change: dict[str, Any], where: str) -> None:
    with pytest.raises(InvalidParameter, match=where):
        seccomp.compile({"defaultAction": "SCMP_ACT_ERRNO", **change})


def test_several_architectures_in_one_filter() -> None:
    names = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13, "architectures": names,
        "syscalls": [rule("open", "SCMP_ACT_ALLOW"), rule("kill", "SCMP_ACT_TRAP"), rule("rt_sigaction", "SCMP_ACT_ALLOW")],
    }  # fmt: skip
    ours = seccomp.compile(profile, arch="x86_64").program
    for arch, number in (("x86_64", 2), ("x86", 5), ("x32", 2 | words.X32_BIT), ("x32", 512 | words.X32_BIT)):
        assert bpf.run(ours, words.AUDIT_ARCH[arch], number) == words.RET_ALLOW, arch
    assert bpf.run(ours, words.AUDIT_ARCH["x32"], 13 | words.X32_BIT) == words.RET_ERRNO | 13
    assert bpf.run(ours, words.AUDIT_ARCH["aarch64"], 56) == words.RET_KILL_THREAD


def test_x32_is_guarded_where_the_profile_lacks_it() -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("kill", "SCMP_ACT_TRAP")]}
    ours, theirs = seccomp.compile(profile, arch="x86_64").program, oracle(profile, "x86_64")
    for number in (0, 62, words.X32_BIT, words.X32_BIT | 62, 0x7FFFFFFF, 0xFFFFFFFF):
        assert bpf.run(ours, 0xC000003E, number) == bpf.run(theirs, 0xC000003E, number), hex(number)


def test_calls_newer_than_the_policy_answer_enosys() -> None:
    """glibc falls back for a new call on ENOSYS, and fails on EPERM."""
    program = seccomp.compile(seccomp.default_profile(), arch="x86_64").program
    last = tables.numbers("x86_64")["removexattrat"]
    assert bpf.run(program, 0xC000003E, last) == words.RET_ALLOW
    assert bpf.run(program, 0xC000003E, last + 1) == words.RET_ERRNO | 38
    assert bpf.run(program, 0xC000003E, 335 + 20) == words.RET_ERRNO | 1


def test_socketcall_is_covered_by_rules_for_its_calls() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [rule("connect", "SCMP_ACT_ERRNO"), rule("shmget", "SCMP_ACT_ERRNO")],
    }  # fmt: skip
    program = seccomp.compile(profile, arch="x86_64").program
    assert bpf.run(program, words.AUDIT_ARCH["x86"], 102, (3,)) == words.RET_ERRNO | 1
    assert bpf.run(program, words.AUDIT_ARCH["x86"], 102, (2,)) == words.RET_ALLOW
    assert bpf.run(program, words.AUDIT_ARCH["x86"], 117, (23,)) == words.RET_ERRNO | 1


def test_within_a_quota_libseccomp_says_the_same() -> None:
    """Other runtimes get that profile too, and libseccomp has an order of rules of its own."""
    profile = seccomp_profiles.within_quota(seccomp.default_profile())
    ours, theirs = seccomp.compile(profile, arch="x86_64").program, oracle(profile, "x86_64")
    for arch in ("x86_64", "x86"):
        number = tables.numbers(arch)["ioctl"]
        for command in (
            0x401C5820,
            0x40086602,
            0x40046602,
            0,
            0x5401,
            0x5413,
            0x80086601,
            0x401C5821,
            0xFFFFFFFF,
        ):
            refused = (
                words.RET_ERRNO | 1 if command in (0x401C5820, 0x40086602, 0x40046602) else words.RET_ALLOW
            )
            for program in (ours, theirs):
                assert bpf.run(program, words.AUDIT_ARCH[arch], number, (3, command)) == refused


def test_jumps_longer_than_a_byte() -> None:
    """A call with 200 rules puts more than 255 instructions between a comparison and its target."""
    rules = [
        rule("getpriority", "SCMP_ACT_ERRNO", (0, "EQ", value * 3, 0), errno=value + 1)
        for value in range(200)
    ]
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [*rules, rule("kill", "SCMP_ACT_TRAP")]}
    program = seccomp.compile(profile, arch="x86_64").program
    assert len(program) // 8 > 600
    number = tables.numbers("x86_64")["getpriority"]
    for value in range(200):
        assert bpf.run(program, 0xC000003E, number, (value * 3,)) == words.RET_ERRNO | (value + 1)
        assert bpf.run(program, 0xC000003E, number, (value * 3 + 1,)) == words.RET_ALLOW
    assert bpf.run(program, 0xC000003E, tables.numbers("x86_64")["kill"]) == words.RET_TRAP


NAMES = ["read", "write", "openat", "kill", "getpriority", "mseal", "futex", "socket", "getpid", "clone3"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    default=st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"]),
    chosen=st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.sampled_from(["EQ", "NE", "LT", "LE", "GT", "GE"]),
            st.integers(0, 5),
            st.one_of(st.integers(0, 70), st.integers(0, (1 << 64) - 1)),
        ),
        max_size=12,
        unique_by=lambda one: one[0],
    ),
    probes=st.lists(st.one_of(st.integers(0, 70), st.integers(0, (1 << 64) - 1)), max_size=8),
)
def test_any_profile_means_what_its_rules_say(default: str, chosen: list[Any], probes: list[int]) -> None:
    compare = {
        "EQ": int.__eq__,
        "NE": int.__ne__,
        "LT": int.__lt__,
        "LE": int.__le__,
        "GT": int.__gt__,
        "GE": int.__ge__,
    }
    rules = [rule(name, "SCMP_ACT_TRAP", (index, op, value, 0)) for name, op, index, value in chosen]
    program = seccomp.compile({"defaultAction": default, "syscalls": rules}, arch="x86_64").program
    otherwise = words.ACTIONS[default] | (1 if default == "SCMP_ACT_ERRNO" else 0)
    for name, op, index, value in chosen:
        for probe in [*probes, value, (value + 1) % (1 << 64), value ^ (1 << 32)]:
            args = (0,) * index + (probe,)
            want = words.RET_TRAP if compare[op](probe, value) else otherwise
            assert bpf.run(program, 0xC000003E, tables.numbers("x86_64")[name], args) == want


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"defaultAction": "SCMP_ACT_DENY"}, "defaultAction"),
        ({"defaultAction": None}, "defaultAction"),
        ({"defaultErrnoRet": 70000}, "defaultErrnoRet"),
        ({"architectures": ["SCMP_ARCH_VAX"]}, "architectures"),
        ({"flags": ["SECCOMP_FILTER_FLAG_NEW"]}, "flags"),
        ({"listenerPath": "/run/x.sock"}, "listenerPath"),
        ({"syscalls": [{"names": [], "action": "SCMP_ACT_ALLOW"}]}, "syscalls[0].names"),
        ({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]}, "syscalls[0].action"),
        ({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 3}]}, "syscalls[0].errnoRet"),
        ({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 6, "op": "SCMP_CMP_EQ", "value": 1}]}]}, "args.index"),
        ({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "op": "==", "value": 1}]}]}, "args.op"),
        ({"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "op": "SCMP_CMP_EQ", "value": -1}]}]}, "args.value"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(change: dict[str, Any], where: str) -> None:
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [], **change}
    with pytest.raises(InvalidParameter, match=r"linux\.seccomp\.") as caught:
        seccomp.compile(profile)
    assert where in caught.value.message


def test_a_profile_is_compiled_once() -> None:
    profile = seccomp.default_profile(["CAP_KILL"])
    compiler._cache.clear()
    assert seccomp.compile(profile) is seccomp.compile(dict(profile))
