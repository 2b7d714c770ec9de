"""File systems with project quotas, on loop devices of our own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from onggi.kernel import quotas
from tests.engines import until

MAKE = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
}
MEBIBYTE = 1 << 20


@contextmanager
def filesystem(tmp: Path, kind: str, options: str = "prjquota", size: int = 400 * MEBIBYTE) -> Iterator[Path]:
    """A file system of `kind`, mounted; skips where this machine cannot."""
    make = [*MAKE[kind], *(("-O", "quota,project") if kind == "ext4" and options == "prjquota" else ())]
    image, place = tmp / f"{kind}.image", tmp / kind
    with image.open("wb") as file:
        file.truncate(size)
    place.mkdir()
    try:
        subprocess.run([*make, str(image)], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip(f"needs {make[0]}")
    mounted = subprocess.run(
        ["mount", "-t", kind, "-o", f"loop,{options}", image, place], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"this kernel mounts no {kind} with {options}: {mounted.stderr.strip()[:120]}")
    try:
        yield place
    finally:
        # An engine's zygote and companions end at the end of its connection: a moment after the engine.
        until(lambda: subprocess.run(["umount", place], capture_output=True).returncode == 0, 20)
        image.unlink()


@contextmanager
def limited(tmp: Path, kind: str) -> Iterator[Path]:
    """The same with quotas that hold; skips where the kernel has none (CONFIG_QFMT_V2, CONFIG_XFS_QUOTA)."""
    with filesystem(tmp, kind) as place:
        fd = os.open(place, os.O_RDONLY)
        try:
            if not quotas.enforced(fd):
                pytest.skip(f"this kernel has no project quotas on {kind}")
        finally:
            os.close(fd)
        yield place
