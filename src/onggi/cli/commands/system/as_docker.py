"""Being found where other programs look for Docker, where none is (system install --as-docker).

A Docker that lives here is one of: a dockerd, a unit docker.service or docker.socket that is not ours, or a
program that listens on Docker's socket. Below a prefix the first two are looked for below it.
"""

from __future__ import annotations

import os
import socket

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from onggi.cli.session import Session

PROGRAMS = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin", "snap/bin", "opt/bin")
UNITS = (
    "etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system",
    "lib/systemd/system",
)  # fmt: skip
SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")
OURS = "Onggi container engine"  # in the description of each of our units
LINK = "usr/local/bin/docker"
BY_HAND = "run `onggi daemon -H unix:///run/onggi/onggi.sock -H unix:///var/run/docker.sock --group docker`"


def refuse_real_docker(prefix: str) -> None:
    """Raises CommandError that names what was found."""
    found = next(_real(prefix), "")
    if found:
        raise CommandError(
            f"onggi system install: --as-docker: a Docker lives here already: {found}; nothing was changed"
        )


def _real(prefix: str) -> Iterator[str]:
    for path in _programs(prefix, "dockerd"):
        yield f"the program {path}"
    for directory in UNITS:
        for name in ("docker.service", "docker.socket"):
            path = f"{prefix}/{directory}/{name}"
            if os.path.lexists(path) and not is_ours(path):
                yield f"the unit {path}"
    if not prefix and not is_ours(f"/{UNITS[0]}/docker.socket"):  # systemd holds ours open
        for path in SOCKETS:
            if _listens(path):
                yield f"a program listens on {path}"


def _programs(prefix: str, name: str) -> Iterator[str]:
    """Places of a program; on this machine those of PATH, too."""
    directories = [f"{prefix}/{directory}" for directory in PROGRAMS]
    if not prefix:
        directories += filter(os.path.isabs, os.get_exec_path())
    for directory in dict.fromkeys(directories):
        path = f"{directory}/{name}"
        if os.path.lexists(path) and not is_our_link(path):
            yield path


def is_ours(path: str) -> bool:
    """Did we write this unit? systemctl's alias docker.service leads to onggi.service."""
    if os.path.islink(path) and os.path.basename(os.readlink(path)) == "onggi.service":
        return True
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return f"\nDescription={OURS}" in file.read(4096)
    except OSError:
        return False


def is_our_link(path: str) -> bool:
    """Does the name docker lead to our launcher beside it?"""
    return os.path.islink(path) and os.path.basename(os.readlink(path)) == "onggi"


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def link(session: Session, prefix: str) -> None:
    """`docker` leads to `onggi`, unless a Docker client is there. Raises CommandError."""
    client = next(_programs(prefix, "docker"), "")
    if client:
        session.out(f"left {client}: it is a Docker client")
        return
    path = f"{prefix}/{LINK}"
    partial = f"{path}.{os.getpid()}.partial"
    try:
        os.symlink("onggi", partial)
        os.rename(partial, path)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    session.out(f"linked {path} to onggi")
