"""The validation suite of opencontainers/runtime-tools: what runc passes here, onggi-runtime passes.

A program of the suite prints TAP lines and ends with 0 where it could run. Where runc's does, ours must, and
no line that runc passes may fail. Lines that runc fails (a capability that this machine lacks, a sysctl of
another kernel) are nobody's measure.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests import engines

CLIENTS = Path(os.environ.get("ONGGI_CLIENTS", "/var/cache/onggi/clients"))
SUITE = CLIENTS / "runtime-tools-v0.9.0"
PROGRAMS = sorted(each.name for each in (SUITE / "tests").glob("*"))
pytestmark = [
    pytest.mark.root,
    pytest.mark.peer,
    pytest.mark.skipif(not PROGRAMS, reason="the suite is not built: scripts/runtime-tools"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the suite's root file system is for x86-64"),
]
_LINE = re.compile(r"^(not )?ok \d+ (?:- )?(.*)$", re.MULTILINE)
_OF_THIS_RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{6,}|/\S*ocitest\S*")


def _run(program: str, command: list[str], place: Path) -> tuple[int, Counter[str], str]:
    """(status, passed lines and how often, all that was printed) of one program with one runtime."""
    place.mkdir()
    runtime = place / "runtime"
    root = ["--root", str(place / "state")]
    runtime.write_text("#!/bin/sh\nexec " + " ".join([*command, *root]) + ' "$@"\n')
    runtime.chmod(0o755)
    for name in ("runtimetest", "rootfs-amd64.tar.gz"):
        shutil.copy(SUITE / name, place / name)  # the suite copies a link as a link
    try:
        done = subprocess.run(
            [SUITE / "tests" / program],
            cwd=place,
            env={**os.environ, "RUNTIME": str(runtime), "TMPDIR": str(place)},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
        )
    finally:
        listed = subprocess.run([runtime, "list", "-q"], capture_output=True, text=True).stdout.split()
        for name in listed:
            subprocess.run([runtime, "delete", "--force", name], capture_output=True)
        for mounted in reversed(engines.mounts(str(place))):  # of containers without a mount namespace
            subprocess.run(["umount", "-l", mounted], check=True)
        for parent in (
            "testdir/cgrouptest",
            "testdir",
            "cgrouptest",
        ):  # the suite's own names: runtimes remove only a container's cgroup
            for left in Path("/sys/fs/cgroup").glob(f"*/{parent}"):
                with contextlib.suppress(OSError):
                    left.rmdir()
    passed = Counter(_OF_THIS_RUN.sub("", match[2]) for match in _LINE.finditer(done.stdout) if not match[1])
    return done.returncode, passed, done.stdout + done.stderr


@pytest.mark.parametrize("program", PROGRAMS or ["none"])
def test_what_runc_passes(program: str, tmp_path: Path) -> None:
    status, expected, _ = _run(program, ["runc"], tmp_path / "runc")
    if status != 0:
        pytest.skip(f"runc itself does not pass {program} on this machine")
    ours = [str(Path(sys.executable).with_name("onggi-runtime"))]
    status, passed, printed = _run(program, ours, tmp_path / "onggi")
    assert status == 0, printed[-2000:]
    assert not expected - passed, printed[-2000:]
