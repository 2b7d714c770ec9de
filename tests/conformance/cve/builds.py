"""Deliberately weakened builds: a copy of the source with one protection taken out, for tests alone.

    held(attack, tmp_path, Edit("spawn/inside.py", "old text", "new text"))

asserts that `attack(build)` fails on what we ship and gets through on the weakened copy: a test that could
not notice the hole is no test. An attack answers True where it got through.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import engines

TOP = Path(__file__).parents[3]
SITE = next(path for path in sys.path if path.endswith("site-packages"))
INTERPRETER = os.path.realpath(sys.executable)
APPLETS = (
    "sh",
    "cat",
    "echo",
    "grep",
    "id",
    "ls",
    "mount",
    "mkdir",
    "sleep",
    "stat",
    "test",
    "true",
    "unshare",
)


@dataclass(frozen=True)
class Edit:
    """One protection, taken out: `old` occurs once in `file` (below src/onggi)."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Build:
    """A source tree, ours or a weakened one, and what runs from it."""

    src: Path

    def python(self, code: str, *args: str) -> str:
        """What a program that imports `onggi` from this tree prints."""
        start = f"import sys; sys.path[1:1] = [{str(self.src)!r}]; sys.path.append({SITE!r})\n"
        done = subprocess.run(
            [INTERPRETER, "-I", "-S", "-c", start + code, *args], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def launcher(self, directory: Path, module: str) -> Path:
        path = directory / f"start-{uuid.uuid4().hex[:8]}"
        path.write_text(
            f"#!{INTERPRETER} -IS\nimport sys\n"
            f"sys.path[1:1] = [{str(self.src)!r}]\nsys.path.append({SITE!r})\n"
            f"from {module} import main\nsys.exit(main())\n"
        )
        path.chmod(0o755)
        return path

    def run(
        self, bundle: Path, document: dict[str, Any], *verb: str, terminal: bool = False
    ) -> tuple[int, str]:
        """`onggi-runtime run` of a document: exit code, and stdout and stderr together."""
        (bundle / "config.json").write_text(json.dumps(document))
        runtime = [str(self.launcher(bundle, "onggi.runtime.command")), "--root", str(bundle / "state")]
        name = f"cve-{uuid.uuid4().hex[:8]}"
        ours, theirs = pty.openpty() if terminal else os.pipe()
        stdin = theirs if terminal else subprocess.DEVNULL
        with subprocess.Popen(
            [*runtime, *(verb or ("run",)), name], cwd=bundle, stdin=stdin, stdout=theirs, stderr=theirs
        ) as process:
            os.close(theirs)
            text = _drain(ours)
            code = process.wait(60)
        subprocess.run([*runtime, "delete", "--force", name], capture_output=True, timeout=60)
        return code, text

    @contextlib.contextmanager
    def engine(self, tmp: Path, *flags: str) -> Iterator[engines.Engine]:
        """An engine of this tree, with the busybox image."""
        directory = tmp / uuid.uuid4().hex[:8]
        directory.mkdir()
        root, run = directory / "root", directory / "run"
        command = [str(self.launcher(directory, "onggi.cli.main")), "daemon", "--data-root", str(root)]
        command += ["--exec-root", str(run), "-H", f"unix://{run}/engine.sock", "--bridge", "none", *flags]
        engine = engines.Engine("onggi", root, run, command)
        engine.start()
        try:
            engines.import_busybox(engine)
            yield engine
        finally:
            engines.end(engine)
            assert engines.leftovers(engine) == []


def _drain(fd: int) -> str:
    data = b""
    with contextlib.suppress(OSError):  # EIO: the terminal's other end is closed
        while chunk := os.read(fd, 65536):
            data += chunk
    os.close(fd)
    return data.decode(errors="replace")


def ours() -> Build:
    return Build(TOP / "src")


def weakened(tmp: Path, *edits: Edit) -> Build:
    """A copy of our tree with the edits. An edit whose text is not there once is an error of the test."""
    src = tmp / f"weak-{uuid.uuid4().hex[:8]}"
    shutil.copytree(TOP / "src", src)
    for edit in edits:
        path = src / "onggi" / edit.file
        text = path.read_text()
        assert text.count(edit.old) == 1, f"{edit.file}: {edit.old!r} is there {text.count(edit.old)} times"
        path.write_text(text.replace(edit.old, edit.new))
    return Build(src)


def held(attack: Callable[[Build], bool], tmp: Path, *edits: Edit) -> None:
    """The attack fails on our build, and gets through on the weakened one."""
    assert attack(weakened(tmp, *edits)), "the test does not notice that the protection is gone"
    assert not attack(ours()), "the attack gets through"


def bundle(tmp: Path) -> Path:
    """A fresh bundle directory with a busybox root."""
    made = tmp / f"bundle-{uuid.uuid4().hex[:8]}"
    binaries = made / "rootfs" / "bin"
    binaries.mkdir(parents=True)
    shutil.copy("/bin/busybox", binaries / "busybox")
    for name in APPLETS:
        (binaries / name).symlink_to("busybox")
    return made


def mount(target: str, kind: str, source: str = "", *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source or kind, "options": list(options)}


def document(*args: str, mounts: list[dict[str, Any]] | None = None, **linux: Any) -> dict[str, Any]:
    """An OCI document with a /proc and whatever the test adds."""
    return {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "process": {
            "args": list(args),
            "env": ["PATH=/bin"],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
            "capabilities": {kind: ["CAP_KILL"] for kind in ("bounding", "effective", "permitted")},
        },
        "mounts": [mount("/proc", "proc")] if mounts is None else mounts,
        "linux": {
            "namespaces": [{"type": kind} for kind in ("mount", "pid", "ipc", "uts", "network")],
            "cgroupsPath": f"/onggi-cve/{uuid.uuid4().hex[:8]}",
            **linux,
        },
    }
