"""Install the engine as a service of this machine: systemd units, the group, the launcher.

    PREFIX/etc/systemd/system/onggi.service, onggi.socket      PREFIX/usr/local/bin/onggi

Without --prefix the units are enabled and the socket is started where systemd runs: the engine comes with the
first client, and at boot, when containers with a restart policy are waiting for it. Every file is written
under another name and renamed. The commit point is the launcher, which comes last.
"""

from __future__ import annotations

import os
import sys

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (
    ("group", "", "string", "onggi", "Group that may use the socket"),
    ("prefix", "", "string", "", "Write below this directory, and change nothing of the running system"),
)
SERVICE = "etc/systemd/system/onggi.service"
SOCKET = "etc/systemd/system/onggi.socket"
LAUNCHER = "usr/local/bin/onggi"

SERVICE_TEXT = """\
[Unit]
Description=Onggi container engine
Documentation=man:systemd.service(5)
After=network-online.target local-fs.target
Wants=network-online.target
Requires=onggi.socket

[Service]
Type=notify
NotifyAccess=all
ExecStart=/usr/local/bin/onggi daemon -H fd://
KillMode=process
Delegate=yes
Restart=on-failure
LimitNOFILE=1048576
TasksMax=infinity
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
"""
SOCKET_TEXT = """\
[Unit]
Description=Onggi container engine's API

[Socket]
ListenStream=/run/onggi/onggi.sock
SocketMode=0660
SocketUser=root
SocketGroup={group}
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""


def run(session: Session, flags: Flags, args: list[str]) -> int:
    prefix = check(flags["prefix"], "install")
    group = flags["group"]
    if not group or not all(letter.isalnum() or letter in "_-" for letter in group):
        raise CommandError(f'invalid group name: "{group}"')
    if not prefix:
        _make_group(session, group)
    for path, text, mode in (
        (SERVICE, SERVICE_TEXT, 0o644),
        (SOCKET, SOCKET_TEXT.format(group=group), 0o644),
        (LAUNCHER, launcher_text(), 0o755),
    ):
        _write(f"{prefix}/{path}", text, mode)
        session.out(f"wrote {prefix}/{path}")
    if not prefix and systemd_runs():
        call(session, ["systemctl", "daemon-reload"])
        call(session, ["systemctl", "enable", "onggi.service", "onggi.socket"])  # restart policies, at boot
        call(session, ["systemctl", "start", "onggi.socket"])
    return 0


def check(prefix: str, verb: str) -> str:
    """The prefix without its last slash. Raises CommandError without root."""
    if not prefix and os.getuid() != 0:
        raise CommandError(
            f"onggi system {verb}: only root can change this machine's services; use --prefix DIR or sudo"
        )
    return prefix.rstrip("/")


def launcher_text() -> str:
    """A script that starts this interpreter without its site module, with the directories on its path that
    hold this package and the libraries of the engine.
    """
    source = os.path.abspath(__file__)
    for _ in range(5):
        source = os.path.dirname(source)
    libraries = [path for path in sys.path if os.path.isdir(f"{path}/msgspec") and path != source]
    if not libraries:
        raise CommandError("the engine's library msgspec is not on this command's path: install onggi by pip")
    return (
        f"#!{sys.executable} -IS\nimport sys\n\nsys.path[1:1] = [{source!r}]\nsys.path += {libraries!r}\n"
        "from onggi.cli.main import main\n\nsys.exit(main())\n"
    )


def systemd_runs() -> bool:
    """sd_booted(3)."""
    return os.path.isdir("/run/systemd/system")


def call(session: Session, command: list[str]) -> None:
    """Run one of the system's tools. Raises CommandError where it fails."""
    session.flush()
    try:
        pid = os.posix_spawnp(command[0], command, os.environ)
    except OSError as error:
        raise CommandError(f"{command[0]}: {error.strerror}") from None
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise CommandError(f"{' '.join(command)}: exit status {status}")


def _make_group(session: Session, group: str) -> None:
    with open("/etc/group", encoding="utf-8") as file:
        if any(line.startswith(f"{group}:") for line in file):
            return
    call(session, ["groupadd", "--system", group])
    session.out(f"added group {group}")


def _write(path: str, text: str, mode: int) -> None:
    partial = f"{path}.{os.getpid()}.partial"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(partial, mode)
        os.rename(partial, path)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
