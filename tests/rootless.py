"""An ordinary user, made for a test and removed after it, and his engine.

    with rootless.user() as who, rootless.onggi(who) as engine:  engine.docker("run", "--rm", ...)

The engine and the clients run as that user, with his home and XDG_RUNTIME_DIR and without the tests' groups.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests import engines

CLIENTS = os.path.dirname(
    shutil.which("docker") or "/usr/bin/docker"
)  # of the version that root's tests have


@dataclass
class User:
    name: str
    uid: int
    gid: int
    home: Path

    @property
    def runtime_dir(self) -> Path:
        return self.home / "run"

    @property
    def env(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "USER": self.name,
            "LOGNAME": self.name,
            "XDG_RUNTIME_DIR": str(self.runtime_dir),
            "PATH": f"{CLIENTS}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        }

    def command(self, *words: str) -> list[str]:
        """The words, run as this user."""
        return ["setpriv", f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups", "--", *words]

    def run(
        self, *words: str, check: bool = True, timeout: float = 60, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), env={**self.env, **env}, cwd=self.home, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=check, timeout=timeout,
        )  # fmt: skip


@contextlib.contextmanager
def user(*, subordinate_ids: bool = True) -> Iterator[User]:
    """A new user with a home of his own; useradd(8) gives subordinate ids, which can be left out."""
    name = f"og{secrets.token_hex(4)}"
    home = Path(tempfile.mkdtemp(prefix="ogu", dir="/tmp"))
    subprocess.run(["useradd", "-M", "-d", str(home), "-s", "/bin/sh", name], check=True, capture_output=True)
    account = pwd.getpwnam(name)
    try:
        found = User(name, account.pw_uid, account.pw_gid, home)
        if not subordinate_ids:
            for path in ("/etc/subuid", "/etc/subgid"):
                subprocess.run(["sed", "-i", f"/^{name}:/d", path], check=True)
        os.chown(home, found.uid, found.gid)
        home.chmod(0o711)
        found.runtime_dir.mkdir(mode=0o700)
        os.chown(found.runtime_dir, found.uid, found.gid)
        yield found
    finally:
        for pid in processes(account.pw_uid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["userdel", "-f", name], check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


def processes(uid: int) -> list[int]:
    """Processes of a user on the host; those of his containers' other users are not among them."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                found.append(int(entry.name))
    return found


class Engine(engines.Engine):
    """A user's engine; its clients run as he does."""

    def __init__(self, who: User, *flags: str) -> None:
        root, exec_root = who.home / ".local/share/onggi", who.runtime_dir / "onggi"
        words = [
            str(engines.ONGGI),
            "daemon",
            "-H",
            f"unix://{exec_root}/engine.sock",
            *engines.FLAGS,
            *flags,
        ]
        command = who.command(*words)
        super().__init__("rootless", root, exec_root, command, who.env)
        self.who = who

    def start(self, *, failpoint: str = "", timeout: float = 40) -> None:
        self.who.run("mkdir", "-p", str(self.exec_root))
        super().start(failpoint=failpoint, timeout=timeout)

    def client(self, words: list[str], env: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        return self.who.command(*words), {**env, **self.who.env}


@contextlib.contextmanager
def onggi(who: User, *flags: str) -> Iterator[Engine]:
    """His engine; at the end its containers are removed, and it is stopped."""
    engine = Engine(who, *flags)
    engine.start()
    try:
        yield engine
    finally:
        engines.end(engine)
