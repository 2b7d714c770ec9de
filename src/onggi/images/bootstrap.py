"""`onggi image bootstrap debian:bookworm`: a root file system made by debootstrap, from this machine's
own mirrors.

The mirror is the one that /etc/apt names for the distribution (one-line and deb822 sources), and apt's
proxy is passed on, so it works wherever `apt-get install` does. The result is cleaned of what belongs to
a machine or a moment: package caches and lists, logs, machine-id, host name, resolver. Not here: making
an image of the tree (the caller packs or imports `target`, and removes it when this fails).
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess

from onggi.errors import InvalidParameter, System, Unavailable
from onggi.images.tree import OPEN_DIR, remove

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FALLBACK = {"debian": "http://deb.debian.org/debian", "ubuntu": "http://archive.ubuntu.com/ubuntu"}
KEYRINGS = {
    "debian": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "ubuntu": "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
}
SCRIPTS = "/usr/share/debootstrap/scripts"
LINE = re.compile(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)")
STALE = (
    "var/cache/apt/*",
    "var/lib/apt/lists/*",
    "var/log/*.log",
    "var/log/apt/*",
    "var/cache/ldconfig/aux-cache",
    "var/cache/debconf/*-old",
    "var/lib/dpkg/*-old",
    "dev/*",
    "etc/hostname",
    "etc/resolv.conf",
)


def bootstrap(distribution: str, target: str, *, progress: Callable[[str], None] | None = None) -> None:
    """Make the root file system of `debian:SUITE` or `ubuntu:SUITE` in `target`, an empty directory.

    `progress` gets debootstrap's lines. Raises InvalidParameter (an unknown distribution), Unavailable (no
    debootstrap), System (it failed; the message has its last lines).
    """
    system, _, suite = distribution.partition(":")
    if system not in FALLBACK or not re.fullmatch(r"[a-z][a-z0-9-]*", suite):
        raise InvalidParameter(f"cannot bootstrap {distribution}: debian:SUITE and ubuntu:SUITE are known")
    command = shutil.which("debootstrap", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if command is None:
        raise Unavailable("debootstrap is not installed: apt-get install debootstrap")
    if not os.path.exists(f"{SCRIPTS}/{suite}"):
        raise InvalidParameter(f"debootstrap does not know {suite}: {SCRIPTS}/{suite} is missing")
    mirror = find_mirror(system)
    arguments = [command, "--variant=minbase"]
    if os.path.exists(KEYRINGS[system]):
        arguments.append(f"--keyring={KEYRINGS[system]}")
    _run([*arguments, suite, target, mirror], distribution, progress)
    write_sources(target, system, suite, mirror)
    clean_tree(target)


def find_mirror(system: str, apt_dir: str = "/etc/apt") -> str:
    """The archive of a distribution that apt uses here: the first source whose path ends in its name."""
    names = [f"{apt_dir}/sources.list", *sorted(glob.glob(f"{apt_dir}/sources.list.d/*"))]
    for name in names:
        try:
            with open(name, encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            continue  # apt, too, goes on without it
        for uri in _uris(text, deb822=name.endswith(".sources")):
            if uri.rstrip("/").endswith("/" + system) and uri.startswith(("http:", "https:", "file:")):
                return uri.rstrip("/")
    return FALLBACK[system]


def _uris(text: str, *, deb822: bool) -> list[str]:
    if not deb822:
        return [match[1] for line in text.splitlines() if (match := LINE.match(line.strip()))]
    found = []
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() == "uris":
            found += value.split()
    return found


def _proxy() -> dict[str, str]:
    """The proxies that apt is told to use, as the variables that debootstrap's wget reads."""
    found: dict[str, str] = {}
    for scheme in ("http", "https"):
        question = ["apt-config", "shell", "P", f"Acquire::{scheme}::Proxy"]
        try:
            answer = subprocess.run(question, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            return found  # no apt: no proxy of its
        value = answer.strip().removeprefix("P=").strip("'\"")
        if value and value != "DIRECT":
            found[f"{scheme}_proxy"] = value
    return found


def _run(arguments: list[str], distribution: str, progress: Callable[[str], None] | None) -> None:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", **_proxy()}
    last: list[str] = []
    with subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last = [*last[-4:], line.rstrip()]
            if progress is not None:
                progress(line.rstrip())
    if process.returncode:
        raise System(f"debootstrap of {distribution} failed ({process.returncode}): {'; '.join(last)}")


def write_sources(target: str, system: str, suite: str, mirror: str) -> None:
    """apt's sources in the new root: the suite, and Debian's updates; the mirror is the one it was made
    from.
    """
    suites = [suite] if suite in ("sid", "unstable") else [suite, f"{suite}-updates"]
    with open(f"{target}/etc/apt/sources.list", "w", encoding="utf-8") as file:
        for name in suites:
            file.write(f"deb {mirror} {name} main{' universe' if system == 'ubuntu' else ''}\n")


def clean_tree(target: str) -> None:
    """Remove what belongs to this machine or this hour."""
    for pattern in STALE:
        for path in glob.glob(f"{target}/{pattern}", include_hidden=True):
            fd = os.open(os.path.dirname(path), OPEN_DIR)
            try:
                remove(fd, os.fsencode(os.path.basename(path)))
            finally:
                os.close(fd)
    # Empty, so that systemd makes one at its first boot: machine-id(5).
    with open(f"{target}/etc/machine-id", "w", encoding="utf-8"):
        pass
