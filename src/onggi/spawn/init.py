"""The reaper of `--init`: a static program of some 400 bytes, written here, bound to /sbin/docker-init.

    docker-init -- PATH ARG0 ARG...     runs PATH with its arguments in a process group of its own, in the
                                        foreground of the terminal where there is one
    pid 1 forwards every signal to it, reaps what the kernel hands over, and ends with its exit status (128+n
    where a signal ended it)

No interpreter stays in the container, so there is no /proc/1/exe of the host's to write to (CVE-2019-5736).
PATH is looked up before (step "find"), so that a missing command is reported as without a reaper.
Signals are blocked and taken by rt_sigtimedwait(2): there is no handler, and none is lost. x86-64 only.
"""

from __future__ import annotations

import os
import struct

TARGET = "/sbin/docker-init"
MACHINES = ("x86_64",)
_BASE = 0x400000
_HEADERS = 64 + 56

# Each line is one instruction; a tuple is a jump: (opcode of its 32-bit form, label). A str is a label.
_BLOCK_ALL = [
    "31ff 4889e6 488d542408 41ba08000000 b80e000000 0f05"
]  # rt_sigprocmask(SIG_BLOCK, rsp, rsp+8, 8)
_X86_64: list[str | tuple[str, str]] = [
    "4989e4 4881ec00020000 48c70424ffffffff",  # r12 = argc, argv; rsp: full mask, old mask, status, siginfo
    *_BLOCK_ALL,
    "b839000000 0f05 85c0",  # fork()
    ("0f88", "fail"),
    ("0f84", "child"),
    "4189c5",  # r13 = the child
    ":loop",
    "4889e7 488d742420 31d2 41ba08000000 b880000000 0f05 85c0",  # rt_sigtimedwait(rsp, rsp+32, NULL, 8)
    ("0f88", "loop"),
    "83f811",  # SIGCHLD
    ("0f84", "reap"),
    "89c6 4489ef b83e000000 0f05",  # kill(child, signal)
    ("e9", "loop"),
    ":reap",
    "bfffffffff 488d742410 ba01000000 4531d2 b83d000000 0f05 85c0",  # wait4(-1, rsp+16, WNOHANG, NULL)
    ("0f8e", "loop"),
    "4439e8",  # somebody else's child: the next one
    ("0f85", "reap"),
    "8b7c2410 89f8 83e07f",  # WTERMSIG
    ("0f84", "exited"),
    "8db880000000",  # 128 + signal
    ("e9", "exit"),
    ":exited",
    "c1ef08 81e7ff000000",
    ":exit",
    "b8e7000000 0f05",  # exit_group
    ":child",
    "31ff 31f6 b86d000000 0f05",  # setpgid(0, 0)
    "b827000000 0f05 89442410",  # getpid()
    "31ff be10540000 488d542410 b810000000 0f05",  # ioctl(0, TIOCSPGRP, &pid); fails where 0 is no terminal
    "bf02000000 488d742408 31d2 41ba08000000 b80e000000 0f05",  # rt_sigprocmask(SIG_SETMASK, rsp+8, NULL, 8)
    "498b0424 498d54c410 498b7c2418 498d742420 b83b000000 0f05",  # execve(argv[2], argv + 3, envp)
    ":fail",
    "bf7f000000",
    ("e9", "exit"),
]


def program(machine: str = "x86_64") -> bytes:
    """The ELF file. Raises ValueError for a machine that it is not written for."""
    if machine not in MACHINES:
        raise ValueError(f"no reaper for {machine}")
    code = _assemble(_X86_64)
    size = _HEADERS + len(code)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)  # PT_LOAD, read and execute
    return header + segment + code


def _assemble(lines: list[str | tuple[str, str]]) -> bytes:
    labels: dict[str, int] = {}
    code = bytearray()
    jumps: list[tuple[int, str]] = []
    for line in lines:
        if isinstance(line, tuple):
            code += bytes.fromhex(line[0]) + bytes(4)
            jumps.append((len(code), line[1]))
        elif line.startswith(":"):
            labels[line[1:]] = len(code)
        else:
            code += bytes.fromhex(line)
    for after, label in jumps:
        code[after - 4 : after] = struct.pack("<i", labels[label] - after)
    return bytes(code)


def write(path: str, machine: str = "x86_64") -> None:
    """Write the program, executable and complete or not at all. The engine binds it read-only to TARGET."""
    partial = f"{path}.{os.getpid()}"
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o755)
    try:
        os.write(fd, program(machine))
        os.fchmod(fd, 0o755)
    finally:
        os.close(fd)
    os.rename(partial, path)
