"""The program of onggi/hello, for both processors, run as it is: no engine, no container."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from onggi.images import hello

PROGRAMS = {"x86_64": (hello.amd64, "qemu-x86_64"), "aarch64": (hello.arm64, "qemu-aarch64")}


@pytest.mark.parametrize("machine", PROGRAMS)
def test_the_program_says_its_text_and_ends_with_0(machine: str, tmp_path: Path) -> None:
    build, emulator = PROGRAMS[machine]
    program = tmp_path / "hello"
    program.write_bytes(build(hello.TEXT.encode()))
    program.chmod(0o755)
    command = [str(program)] if platform.machine() == machine else [emulator, str(program)]
    if not shutil.which(command[0]):
        pytest.skip(f"{emulator} is not installed (Debian package qemu-user)")
    done = subprocess.run(command, capture_output=True, timeout=30)
    assert (done.returncode, done.stdout.decode()) == (0, hello.TEXT)
