"""Each target of fuzzing under atheris: some seconds as it stands, ONGGI_FUZZ_SECONDS with `make fuzz`.

A fault leaves its input in the directory that the failure names; `python -m tests.fuzz TARGET FILE` runs
it again.
"""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

SECONDS = int(os.environ.get("ONGGI_FUZZ_SECONDS", "2"))
TOP = Path(__file__).parents[2]


@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("name", TARGETS)
def test_no_input_is_a_fault(name: str, tmp_path: Path) -> None:
    if find_spec("atheris") is None:
        pytest.skip("needs atheris: wheels of it exist for x86-64")
    command = [sys.executable, "-m", "tests.fuzz", name, f"-max_total_time={SECONDS}"]
    if "ONGGI_FUZZ_SECONDS" not in os.environ:
        command.append("-seed=7")  # a few seconds look at what a change broke, not for what nobody has found
    done = subprocess.run(
        [*command, f"-artifact_prefix={tmp_path}/"],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=SECONDS + 100,
    )
    assert done.returncode == 0, f"{tmp_path}: {done.stderr[-3000:]}"


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_left_behind(name: str) -> None:
    """After the first inputs, three hundred more leave no descriptor, and no objects that pile up."""
    chosen = random.Random(7)
    target = TARGETS[name]

    def some(count: int) -> None:
        for _ in range(count):
            target.run(chosen.randbytes(chosen.randrange(200)))

    for seed in target.seeds:
        target.run(seed)
    some(400)
    gc.collect()
    descriptors, objects = len(os.listdir("/proc/self/fd")), len(gc.get_objects())
    some(300)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert (
        len(gc.get_objects()) < objects + 3000
    )  # caches of a bounded size fill up; 300 leaks would be ten each
