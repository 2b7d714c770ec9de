"""Remove the engine's service from this machine; containers, images and volumes stay."""

from __future__ import annotations

import os

from onggi.cli.commands.system import install
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (("prefix", "", "string", "", "What was installed below this directory"),)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    prefix = install.check(flags["prefix"], "uninstall")
    live = not prefix and install.systemd_runs()
    if live and os.path.exists(f"/{install.SOCKET}"):
        install.call(session, ["systemctl", "disable", "--now", "onggi.socket", "onggi.service"])
    removed = 0
    for path in (install.SERVICE, install.SOCKET, install.LAUNCHER):
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
