"""Whether this machine can run a platform's programs: its own, or by a handler of binfmt_misc.

    /proc/sys/fs/binfmt_misc/NAME     enabled / interpreter PATH / flags: F / offset 0 / magic HEX / mask HEX

A handler is usable where its interpreter is opened when it is registered (flag F): a step's root has none.
Source: Documentation/admin-guide/binfmt-misc.rst, elf(5).
"""

from __future__ import annotations

import os
import struct

from onggi.errors import InvalidParameter
from onggi.spec.platform import Platform, host

BINFMT = "/proc/sys/fs/binfmt_misc"
# architecture -> (e_machine, 64 bits, big-endian, what qemu calls it)
MACHINES = {
    "386": (3, False, False, "i386"),
    "amd64": (62, True, False, "x86_64"),
    "arm": (40, False, False, "arm"),
    "arm64": (183, True, False, "aarch64"),
    "loong64": (258, True, False, "loongarch64"),
    "mips64le": (8, True, False, "mips64el"),
    "mips64": (8, True, True, "mips64"),
    "ppc64le": (21, True, False, "ppc64le"),
    "riscv64": (243, True, False, "riscv64"),
    "s390x": (22, True, True, "s390x"),
}
NATIVE = {"amd64": ("amd64", "386"), "arm64": ("arm64", "arm")}


def check(platform: Platform, name: str) -> None:
    """`name` is the step's. Raises InvalidParameter, naming the emulator that is missing."""
    own = host().architecture
    if platform.architecture in NATIVE.get(own, (own,)):
        return
    machine = MACHINES.get(platform.architecture)
    if machine is not None and any(_runs(text, _header(machine)) for text in _handlers()):
        return
    emulator = f"qemu-{machine[3]}" if machine is not None else "an emulator"
    raise InvalidParameter(
        f"{name}: this machine is {host()} and cannot run {platform}: {emulator} is not registered "
        "in binfmt_misc with flag F (Debian: qemu-user-static and binfmt-support)"
    )


def platforms() -> list[Platform]:
    """What can be run here, this machine's own first."""
    own = host()
    texts = list(_handlers())
    native = NATIVE.get(own.architecture, (own.architecture,))
    found = [own]
    for name, machine in MACHINES.items():
        if name not in native and any(_runs(text, _header(machine)) for text in texts):
            found.append(Platform("linux", name, ""))
    return found


def _header(machine: tuple[int, bool, bool, str]) -> bytes:
    """The first bytes of a program: what handlers look at."""
    number, wide, big, _ = machine
    order = ">" if big else "<"
    ident = b"\x7fELF" + bytes((2 if wide else 1, 2 if big else 1, 1)) + bytes(9)
    return ident + struct.pack(f"{order}HHI", 2, number, 1) + bytes(108)


def _handlers() -> list[str]:
    try:
        names = os.listdir(BINFMT)
    except OSError:
        return []
    found = []
    for name in names:
        if name in ("register", "status"):
            continue
        try:
            with open(f"{BINFMT}/{name}", encoding="ascii", errors="replace") as file:
                found.append(file.read())
        except OSError:
            continue  # it has gone meanwhile
    return found


def _runs(text: str, header: bytes) -> bool:
    lines = text.split("\n")
    fields = dict(line.partition(" ")[::2] for line in lines)
    if lines[0] != "enabled" or "F" not in fields.get("flags:", "") or not fields.get("magic"):
        return False
    magic = bytes.fromhex(fields["magic"])
    mask = bytes.fromhex(fields.get("mask") or "ff" * len(magic))
    start = int(fields.get("offset", "0"))
    part = header[start : start + len(magic)]
    return len(part) == len(magic) and all(
        (a & m) == (b & m) for a, b, m in zip(part, magic, mask, strict=True)
    )
