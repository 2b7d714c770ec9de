"""Bytes through a published port of an ordinary user's engine and of rootless podman: iperf3, in one run.

    python -m tests.bench.rootless_publish [--rounds 3] [--seconds 3]

The client is a program of the host, on 127.0.0.1. podman publishes by its default, rootlessport, over
slirp4netns. Pairs A B A B; the ratio is the median of the pairs' ratios, above 1.0 ours carries more.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests import engines, rootless, rootless_hosts
from tests.bench.rootless import UNIFIED

IMAGE = "iperf:bench"
PORTS = {"onggi": 15201, "podman": 15202}


def image() -> bytes:
    """busybox with iperf3 and the libraries of this host, as a tar for `import`."""
    listed = subprocess.run(["ldd", "/usr/bin/iperf3"], check=True, capture_output=True, text=True).stdout
    files = ["/usr/bin/iperf3", *re.findall(r"(/\S+) \(", listed)]
    data = io.BytesIO(engines.busybox_rootfs())
    with tarfile.open(fileobj=data, mode="a") as tar:
        for file in files:
            tar.add(Path(file).resolve(), arcname=file.lstrip("/"))
    return data.getvalue()


def client(port: int, seconds: int, *flags: str) -> float:
    """Gbit/s as the receiver counts it."""
    words = ["iperf3", "-J", "-c", "127.0.0.1", "-p", str(port), "-t", str(seconds), *flags]
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds + 20)
    end = json.loads(done.stdout)["end"]
    return float(end["sum_received"]["bits_per_second"]) / 1e9


@contextlib.contextmanager
def podman(who: rootless.User, directory: Path, rootfs: bytes) -> Iterator[None]:
    """Its container with the server; crun and runc are tried in turn."""
    away = f"umount {UNIFIED} 2>/dev/null; mount --bind {directory}/tun /dev/net/tun; "
    furnish = ["unshare", "-m", "sh", "-c", away + 'exec "$@"', "sh"]
    storage = ["--storage-driver", "overlay", "--root", f"{who.home}/podman"]
    said = ""
    for runtime in ("crun", "runc"):
        command = [*furnish, *who.command("podman", "--runtime", runtime, *storage)]
        run = ["run", "-d", "--name", f"server-{runtime}", "-p", f"{PORTS['podman']}:5201", IMAGE]
        for words, stdin in ((["import", "-", IMAGE], rootfs), ([*run, "iperf3", "-s"], b"")):
            done = subprocess.run(
                [*command, *words], env=who.env, cwd=who.home, input=stdin, capture_output=True
            )
            said = done.stderr.decode()[-400:]
        if done.returncode == 0:
            try:
                yield
            finally:
                words = ["rm", "-f", "-t", "0", f"server-{runtime}"]
                subprocess.run([*command, *words], env=who.env, cwd=who.home, capture_output=True)
            return
    raise RuntimeError(f"podman: {said}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    rootfs = image()
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary, rootless.user() as who:
        directory = Path(temporary)
        directory.chmod(0o755)
        rootless_hosts.make_tun(directory)
        engine = rootless.Engine(who, "--rootless-network=none")
        engine.start()
        try:
            engine.run("docker", "import", "-", IMAGE, stdin=rootfs)
            engine.docker(
                "run", "-d", "--name", "server", "-p", f"{PORTS['onggi']}:5201", IMAGE, "iperf3", "-s"
            )
            with podman(who, directory, rootfs):
                time.sleep(1)
                for name, flags in (("to the container", ()), ("from the container", ("-R",))):
                    pairs = [
                        [client(PORTS[which], options.seconds, *flags) for which in ("onggi", "podman")]
                        for _ in range(options.rounds)
                    ]
                    ours, theirs = (statistics.median(pair[at] for pair in pairs) for at in (0, 1))
                    ratio = statistics.median(one / other for one, other in pairs)
                    print(f"{name}: onggi {ours:.2f} Gbit/s, podman {theirs:.2f} Gbit/s, ratio {ratio:.2f}")
        finally:
            engines.end(engine)


if __name__ == "__main__":
    main()
