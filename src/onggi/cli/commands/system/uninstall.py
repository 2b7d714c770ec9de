"""Remove the engine's service from this machine; containers, images and volumes stay."""

from __future__ import annotations

import os

from onggi.cli.commands.system import as_docker, install
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (
    ("prefix", "", "string", "", "What was installed below this directory"),
    ("user", "", "bool", False, "This user's own service"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    if flags["user"]:
        from onggi.cli.commands.system import user_units

        user_units.remove(session)
        return 0
    prefix = install.check(flags["prefix"], "uninstall")
    live = not prefix and install.systemd_runs()
    if live and os.path.exists(f"/{install.SOCKET}"):
        units = ["onggi.socket", "onggi.service"]
        if as_docker.is_ours(f"/{install.DOCKER_SOCKET}"):
            units.insert(0, "docker.socket")
        install.call(session, ["systemctl", "disable", "--now", *units])
    removed = 0
    for path in _installed(prefix):
        try:
            os.unlink(f"{prefix}/{path}")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CommandError(f"{prefix}/{path}: {error.strerror}") from None
        session.out(f"removed {prefix}/{path}")
        removed += 1
    if live:
        install.call(session, ["systemctl", "daemon-reload"])
    if not removed:
        raise CommandError(f"onggi system uninstall: nothing is installed below {prefix or '/'}")
    return 0


def _installed(prefix: str) -> list[str]:
    """What an installation may have made, below the prefix; of Docker's names those that are ours."""
    found = [install.SERVICE, install.SOCKET]
    if as_docker.is_ours(f"{prefix}/{install.DOCKER_SOCKET}"):
        found.append(install.DOCKER_SOCKET)
    if as_docker.is_our_link(f"{prefix}/{install.DOCKER_LINK}"):
        found.append(install.DOCKER_LINK)
    return [*found, install.LAUNCHER]
