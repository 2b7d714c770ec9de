"""An ordinary user's engine and rootless podman on the same work, in pairs, in one run.

    python -m tests.bench.rootless [--rounds 15] [--network none|default]

Both as whole commands of one user who is made for it, both on overlay in his home. podman runs with crun in a
mount namespace without /sys/fs/cgroup/unified, which crun 1.8 refuses beside v1's hierarchies, or with runc
where that does not work; the line says which. The ratio is the median of the pairs' ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests import engines, rootless

UNIFIED = Path("/sys/fs/cgroup/unified")
IMAGE = "busybox:bench"


class Podman:
    """podman as the user, with storage in his home."""

    def __init__(self, who: rootless.User, runtime: str) -> None:
        self._who = who
        self._runtime = runtime

    def __call__(self, *words: str, stdin: bytes | None = None) -> float:
        storage = ("--storage-driver", "overlay", "--root", f"{self._who.home}/podman")
        command = self._who.command("podman", "--runtime", self._runtime, *storage, *words)
        if UNIFIED.is_dir():
            command = ["unshare", "-m", "sh", "-c", f'umount {UNIFIED}; exec "$@"', "sh", *command]
        return timed(command, self._who, stdin)


def timed(command: list[str], who: rootless.User, stdin: bytes | None = None, **env: str) -> float:
    start = time.perf_counter()
    done = subprocess.run(
        command, env={**who.env, **env}, cwd=who.home, input=stdin or b"", capture_output=True
    )
    took = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode()[-500:]}")
    return took


@contextlib.contextmanager
def podman(who: rootless.User) -> Iterator[tuple[Podman, str]]:
    """With the image, and the runtime that works here."""
    found = None
    for runtime in ("crun", "runc"):
        peer = Podman(who, runtime)
        with contextlib.suppress(RuntimeError):
            peer("import", "-", IMAGE, stdin=engines.busybox_rootfs())
            peer("run", "--rm", "--network", "none", IMAGE, "true")
            found = runtime
            break
        with contextlib.suppress(RuntimeError):
            peer("system", "migrate")  # its pause process keeps the first mount namespace
    if found is None:
        raise RuntimeError("podman runs nothing here, neither with crun nor with runc")
    try:
        yield peer, found
    finally:
        with contextlib.suppress(RuntimeError):
            peer("system", "migrate")
        words = ("podman", "unshare", "rm", "-rf", f"{who.home}/podman")
        subprocess.run(who.command(*words), env=who.env, check=False)


def measure(rounds: int, network: str) -> None:
    with rootless.user() as who, rootless.onggi(who) as engine, podman(who) as (peer, runtime):
        engines.import_busybox(engine, IMAGE)
        flags = ["--network", "none"] if network == "none" else []
        cases = {
            "run --rm true": ["run", "--rm", *flags, IMAGE, "true"],
            "run -d, rm -f": ["run", "-d", *flags, "--name", "bench", IMAGE, "sleep", "1000"],
            "exec true": ["exec", "jar", "true"],
        }
        ours = [str(engines.ONGGI)]
        host = {"DOCKER_HOST": engine.host}
        timed(who.command(*ours, "run", "-d", *flags, "--name", "jar", IMAGE, "sleep", "1000"), who, **host)
        peer("run", "-d", *flags, "--name", "jar", IMAGE, "sleep", "1000")
        print(f"| work (network {network}) | Onggi ms | podman ({runtime}) ms | ratio |")
        print("|---|---:|---:|---:|")
        for name, words in cases.items():
            pairs = []
            for _ in range(rounds):
                a = timed(who.command(*ours, *words), who, **host)
                b = peer(*words)
                if "-d" in words:
                    a += timed(who.command(*ours, "rm", "-f", "bench"), who, **host)
                    b += peer("rm", "-f", "-t", "0", "bench")
                pairs.append((a, b))
            ratio = statistics.median(a / b for a, b in pairs)
            mine, theirs = (statistics.median(column) * 1000 for column in zip(*pairs, strict=True))
            print(f"| {name} | {mine:.0f} | {theirs:.0f} | {ratio:.2f} |", flush=True)
        peer("rm", "-f", "-t", "0", "jar")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--network", choices=("none", "default"), default="none")
    given = parser.parse_args()
    measure(given.rounds, given.network)
