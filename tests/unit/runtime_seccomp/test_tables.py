# ruff: noqa: E501
"""The tables against the headers that are installed on this machine."""

from __future__ import annotations

import os
import re

import pytest

from onggi.runtime.seccomp import tables

HEADERS = {
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "x86": "/usr/include/x86_64-linux-gnu/asm/unistd_32.h",
    "x32": "/usr/include/x86_64-linux-gnu/asm/unistd_x32.h",
}


@pytest.mark.parametrize("arch", sorted(HEADERS))
def test_numbers_are_the_headers(arch: str) -> None:
    if not os.path.exists(HEADERS[arch]):
        pytest.skip(f"{HEADERS[arch]} is not installed (linux-libc-dev)")
    with open(HEADERS[arch], encoding="ascii") as file:
        text = file.read()
    wanted = {
        name: int(number)
        for name, number in re.findall(r"#define __NR_(\w+) \(?(?:__X32_SYSCALL_BIT \+ )?(\d+)", text)
    }
    assert len(wanted) > 300
    got = tables.numbers(arch)
    assert {name: got.get(name) for name in wanted} == wanted


@pytest.mark.parametrize("arch", ["x86_64", "x86", "x32", "aarch64", "arm", "riscv64"])
def test_new_calls_have_one_number_everywhere(arch: str) -> None:
    numbers = tables.numbers(arch)
    assert [numbers[name] for name in ("cachestat", "statmount", "lsm_list_modules", "mseal", "file_setattr")] == [
        451, 457, 461, 462, 469,
    ]  # fmt: skip


def test_generic_architectures_agree() -> None:
    arm64, riscv = tables.numbers("aarch64"), tables.numbers("riscv64")
    assert arm64["openat"] == riscv["openat"] == 56
    assert arm64["execve"] == riscv["execve"] == 221
    assert riscv["riscv_flush_icache"] == 259 and "riscv_flush_icache" not in arm64
    assert tables.numbers("arm")["set_tls"] == 0xF0005
