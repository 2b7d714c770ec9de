"""`onggi system install --user`: the engine as a service of this user's own systemd, without root.

    $XDG_CONFIG_HOME/systemd/user/onggi.service, onggi.socket (else ~/.config)     ~/.local/bin/onggi

The unit has Delegate=yes, so that on cgroup v2 limits work; it runs as long as the user is logged in, or for
ever with `loginctl enable-linger`. The commit point is the launcher.
"""

from __future__ import annotations

import os

from onggi.cli.commands.system import install
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.session import Session

UNITS = ("onggi.service", "onggi.socket")
SERVICE_TEXT = """\
[Unit]
Description=Onggi container engine (rootless)
Documentation=man:systemd.service(5)
Requires=onggi.socket

[Service]
Type=notify
NotifyAccess=all
Sockets=onggi.socket
ExecStart={launcher} daemon -H fd://
KillMode=process
Delegate=yes
Restart=on-failure

[Install]
WantedBy=default.target
"""
SOCKET_TEXT = """\
[Unit]
Description=Onggi container engine's API (rootless)

[Socket]
ListenStream=%t/onggi/onggi.sock
SocketMode=0600
DirectoryMode=0700
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""


def add(session: Session) -> None:
    """Raises CommandError."""
    _refuse_root()
    launcher = _launcher()
    for path, text, mode in (
        (f"{_directory()}/onggi.service", SERVICE_TEXT.format(launcher=launcher), 0o644),
        (f"{_directory()}/onggi.socket", SOCKET_TEXT, 0o644),
        (launcher, install.launcher_text(), 0o755),
    ):
        install.write(path, text, mode)
        session.out(f"wrote {path}")
    if _manager_runs():
        install.call(session, ["systemctl", "--user", "daemon-reload"])
        install.call(session, ["systemctl", "--user", "enable", *UNITS])
        install.call(session, ["systemctl", "--user", "start", "onggi.socket"])
    else:
        session.out("no systemd of this user runs here: `onggi daemon` runs the engine in the foreground")


def remove(session: Session) -> None:
    """Containers, images and volumes stay. Raises CommandError."""
    _refuse_root()
    if _manager_runs() and os.path.exists(f"{_directory()}/onggi.socket"):
        install.call(session, ["systemctl", "--user", "disable", "--now", *reversed(UNITS)])
    removed = 0
    for path in (*(f"{_directory()}/{unit}" for unit in UNITS), _launcher()):
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from None
        session.out(f"removed {path}")
        removed += 1
    if _manager_runs():
        install.call(session, ["systemctl", "--user", "daemon-reload"])
    if not removed:
        raise CommandError(f"onggi system uninstall: nothing is installed below {_directory()}")


def _refuse_root() -> None:
    if os.getuid() == 0:
        raise CommandError("--user is for ordinary users; root installs the system's service without it")


def _directory() -> str:
    config = os.environ.get("XDG_CONFIG_HOME", "") or os.path.expanduser("~/.config")
    return f"{config}/systemd/user"


def _launcher() -> str:
    return os.path.expanduser("~/.local/bin/onggi")


def _manager_runs() -> bool:
    """The socket that systemctl --user speaks to: org.freedesktop.systemd1(5), "user manager"."""
    runtime_dir = os.environ.get("XDG_RUNTIME_DIR", "")
    return bool(runtime_dir) and os.path.exists(f"{runtime_dir}/systemd/private")
