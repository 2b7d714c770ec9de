"""The interpreter cannot be written through /proc/PID/exe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.root
SRC = Path(__file__).parents[3] / "src"
AGAIN = f"""
import os, sys
sys.path.insert(0, {str(SRC)!r})
from onggi.spawn import protect
if not protect.protected():
    protect.execute(sys.executable, sys.orig_argv, dict(os.environ))
print(protect.protected())
"""


def test_the_interpreter_is_on_a_readonly_mount() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", AGAIN], capture_output=True, text=True, check=False, timeout=20
    )
    assert (done.stdout.strip(), done.stderr) == ("True", "")
