"""What the hot path loads, and that it loads nothing between clone and execve (DESIGN.md, spawn)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parents[3] / "src"
# What of the standard library it may load; what these load in their turn differs between Pythons.
ALLOWED = "os, sys, marshal, errno, fcntl, _socket, select, _signal, ctypes, gc, stat"
GOLDEN = Path(__file__).parents[1] / "golden" / "spawn-modules.txt"
DEAR = {
    "typing",
    "enum",
    "re",
    "json",
    "dataclasses",
    "pathlib",
    "subprocess",
    "logging",
    "contextlib",
    "socket",
}

# A failing import between clone and execve is seen by the child alone: the hook is set by its first deed.
CHILD = """
import builtins, os, sys
from onggi.kernel import processes
from onggi.spawn import launch, plan, steps
def refuse(name, *rest, **more):
    raise RuntimeError(f"import of {name} after the clone")
run = steps.run
def guarded(child):
    builtins.__import__ = refuse
    run(child)
steps.run = guarded
made = plan.new("x")
made["child"] = [("protect",), ("hostname", "x"), ("cwd", "/", True), ("bounding", 0), ("user", 0, 0, ()),
                 ("capabilities", 0, 0, 0, 0), ("umask", 18), ("no-new-privs",), ("find", "true"),
                 ("exec", ("true",), ("PATH=/bin:/usr/bin",))]
made["clone"] = 0x04000000 | 0x10000000
made["attach"] = [("id-map", f"0 {os.getuid()} 1", f"0 {os.getgid()} 1", False)]
made["child"].insert(0, ("become-root", False))
made["child"] = [s if s[0] != "user" else ("user", 0, 0, None) for s in made["child"]]
started = launch.launch(made, 0, 1, 2)
print(processes.wait_pidfd(started.pidfd))
"""


def _python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(SRC)!r})\n{code}"],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_modules_that_spawn_loads() -> None:
    before = f"import {ALLOWED}; before = set(sys.modules); import onggi.spawn.launch, onggi.spawn.join"
    more = set(_python(f"{before}; print(*sorted(set(sys.modules) - before))").split())
    everything = set(_python("import onggi.spawn.launch, onggi.spawn.join; print(*sys.modules)").split())
    assert sorted(more) == GOLDEN.read_text().split()
    assert everything & DEAR == set()


def test_nothing_is_imported_between_clone_and_execve() -> None:
    assert _python(CHILD).split() == ["0"]
