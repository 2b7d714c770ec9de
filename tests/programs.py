"""An image of real programs, of Debian's packages: made once on a machine, by our own engine, and kept.

    /var/cache/onggi/programs/KEY.tar      what `onggi save` wrote; KEY is of the list of packages
    /var/cache/onggi/programs/base.tar     the bootstrapped base alone

A new machine makes it by itself (debootstrap, then apt-get in a container: minutes); after that it is loaded
in seconds.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines import Engine

IMAGE = "programs:test"
CACHE = Path(os.environ.get("ONGGI_PROGRAMS_CACHE", "/var/cache/onggi/programs"))
BASE = "debian:bookworm"
PACKAGES = (
    "postgresql redis-server nginx-light mosquitto mosquitto-clients mariadb-server iperf3 curl "
    "python3-minimal"
)
INSTALL = (
    "printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d;"
    "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "
    f"{PACKAGES} && apt-get clean && rm -rf /var/lib/apt/lists/* /usr/share/doc/*"
)


def load(engine: Engine) -> str:
    """Bring the image into an engine; its name. Skips the test where no mirror of Debian answers."""
    CACHE.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(f"{BASE} {INSTALL}".encode()).hexdigest()[:12]
    kept = CACHE / f"{key}.tar"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            _make(engine, kept)
            return IMAGE
    engine.run("onggi", "load", "-q", "-i", str(kept), timeout=300)
    return IMAGE


def load_base(engine: Engine) -> str:
    """Bring the bootstrapped Debian into an engine; its name. Skips the test where no mirror answers."""
    CACHE.mkdir(parents=True, exist_ok=True)
    kept = CACHE / "base.tar"
    with (CACHE / "base.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            _bootstrap(engine)
            _save(engine, kept, BASE)
            return BASE
    engine.run("onggi", "load", "-q", "-i", str(kept), timeout=300)
    return BASE


def _bootstrap(engine: Engine) -> None:
    made = engine.run("onggi", "image", "bootstrap", BASE, check=False, timeout=600)
    if made.returncode:
        pytest.skip(f"needs debootstrap and a mirror of Debian: {made.stderr[-200:]}")


def _save(engine: Engine, kept: Path, image: str) -> None:
    partial = kept.with_suffix(".partial")
    engine.run("onggi", "save", "-o", str(partial), image, timeout=300)
    partial.rename(kept)


def _make(engine: Engine, kept: Path) -> None:
    _bootstrap(engine)
    done = engine.run(
        "onggi", "run", "--name", "making-programs", BASE, "sh", "-c", INSTALL, check=False, timeout=900
    )
    if done.returncode:
        pytest.skip(f"needs a mirror of Debian that containers reach: {done.stderr[-300:]}")
    engine.run("onggi", "commit", "making-programs", IMAGE, timeout=300)
    engine.run("onggi", "rm", "making-programs")
    _save(engine, kept, IMAGE)


def start(engine: Engine, name: str, *words: str) -> None:
    """A container of the image in the background, in the network `app`."""
    engine.docker("run", "-d", "--name", name, "--network", "app", *words)


def inside(engine: Engine, *words: str, timeout: float = 120) -> str:
    """What a command says in a container of its own in the network; its failure is an empty answer."""
    return engine.run(
        "docker", "run", "--rm", "--network", "app", IMAGE, *words, check=False, timeout=timeout
    ).stdout


def within(seconds: float, holds: Callable[[], object]) -> None:
    """Wait for a program that comes up in its own time; a busy machine gets four times that."""
    deadline = time.monotonic() + 4 * seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def port_of(engine: Engine, name: str) -> int:
    """The one published port, on 127.0.0.1."""
    return int(engine.docker("port", name).splitlines()[0].rsplit(":", 1)[1])


def die_and_come_back(engine: Engine, seconds: float) -> None:
    """SIGKILL of the engine; it stays away for a while."""
    engine.kill()
    time.sleep(seconds)
    engine.start()
