"""A client on an engine: what the scenarios of this folder drive.

A scenario is a function that drives one client against one engine and asserts what a user would see. A
scenario that fails on (docker, dockerd) is a wrong scenario.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests import engines

IMAGE = engines.BUSYBOX


@dataclass
class Pair:
    """One client on one engine."""

    client: str
    engine: engines.Engine

    def __call__(self, *args: str, stdin: bytes | None = None) -> str:
        return self.engine.run(self.client, *args, stdin=stdin).stdout.rstrip("\n")

    def fails(self, *args: str, stdin: bytes | None = None) -> tuple[int, str]:
        done = self.engine.run(self.client, *args, stdin=stdin, check=False)
        assert done.returncode != 0, f"{args} succeeded: {done.stdout}"
        return done.returncode, done.stderr + done.stdout  # an old dockerd tells exec's failure on stdout

    def status(self, *args: str) -> int:
        return self.engine.run(self.client, *args, check=False).returncode

    def start(self, *command: str, flags: tuple[str, ...] = ()) -> str:
        """A container in the background; its id."""
        return self("run", "-d", "--network", "none", *flags, IMAGE, *(command or ("sleep", "1000")))

    def inspect(self, reference: str, template: str) -> str:
        return self("inspect", "-f", template, reference)

    def until(self, wanted: str, *args: str, seconds: float = 30) -> str:
        """Ask until the answer holds `wanted`."""
        deadline = time.monotonic() + seconds
        while wanted not in (got := self(*args)):
            assert time.monotonic() < deadline, f"{args}: wanted {wanted!r}, got {got!r}"
            time.sleep(0.05)
        return got


def client_env(pair: Pair) -> dict[str, str]:
    path = "/usr/local/bin:/usr/bin:/bin"
    return {"DOCKER_HOST": pair.engine.host, "PATH": path, "TERM": "xterm", "HOME": "/root"}
