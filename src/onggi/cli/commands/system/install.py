"""Install the engine as a service of this machine: systemd units, the group, the launcher.

    PREFIX/etc/systemd/system/onggi.service, onggi.socket      PREFIX/usr/local/bin/onggi
    --as-docker: docker.socket beside them                     PREFIX/usr/local/bin/docker -> onggi

With --as-docker the engine is where other programs look for Docker: /run/docker.sock (which /var/run leads
to) for the group docker, `docker.service` as another name of the service, and `docker` as another name of the
command where there is no Docker client. A Docker that lives here is never touched: as_docker.py looks for it
first.

Without --prefix the units are enabled and the socket is started where systemd runs: the engine comes with the
first client, and at boot, when containers with a restart policy are waiting for it. Every file is written
under another name and renamed. The commit point is the launcher; the name docker comes after it.
"""

from __future__ import annotations

import os
import sys

from onggi.cli.commands.system import as_docker
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = ""
ARGUMENTS = (0, 0)
FLAGS = (
    ("as-docker", "", "bool", False, "Be found where other programs look for Docker"),
    ("group", "", "string", "onggi", "Group that may use the socket"),
    ("prefix", "", "string", "", "Write below this directory, and change nothing of the running system"),
    ("user", "", "bool", False, "A service of this user's own (rootless); needs no root"),
)
SERVICE = "etc/systemd/system/onggi.service"
SOCKET = "etc/systemd/system/onggi.socket"
LAUNCHER = "usr/local/bin/onggi"
DOCKER_SOCKET = "etc/systemd/system/docker.socket"
DOCKER_LINK = "usr/local/bin/docker"
DOCKER_GROUP = "docker"

SERVICE_TEXT = """\
[Unit]
Description=Onggi container engine
Documentation=man:systemd.service(5)
After=network-online.target local-fs.target
Wants=network-online.target
Requires={sockets}

[Service]
Type=notify
NotifyAccess=all
Sockets={sockets}
ExecStart=/usr/local/bin/onggi daemon -H fd://
KillMode=process
Delegate=yes
Restart=on-failure
LimitNOFILE=1048576
TasksMax=infinity
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
{alias}"""
SOCKET_TEXT = """\
[Unit]
Description=Onggi container engine's API

[Socket]
ListenStream={path}
Service=onggi.service
SocketMode=0660
SocketUser=root
SocketGroup={group}
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""


def run(session: Session, flags: Flags, args: list[str]) -> int:
    if flags["user"]:
        if flags.given - {"user"}:
            raise CommandError("--user goes with no other flag")
        from onggi.cli.commands.system import user_units

        user_units.add(session)
        return 0
    prefix = check(flags["prefix"], "install")
    group = flags["group"]
    if not group or not all(letter.isalnum() or letter in "_-" for letter in group):
        raise CommandError(f'invalid group name: "{group}"')
    docker = flags["as-docker"] or as_docker.is_ours(f"{prefix}/{DOCKER_SOCKET}")  # again: it stays so
    if docker:
        as_docker.refuse_real_docker(prefix)
    if not prefix:
        for name in {group, DOCKER_GROUP} if docker else {group}:
            _make_group(session, name)
    for path, text, mode in _files(group, docker=docker):
        write(f"{prefix}/{path}", text, mode)
        session.out(f"wrote {prefix}/{path}")
    if docker:
        as_docker.link(session, prefix)
    if not prefix and systemd_runs():
        _enable(session, ["onggi.socket", "docker.socket"] if docker else ["onggi.socket"])
    elif docker and not prefix:
        session.out(f"systemd does not run here: {as_docker.BY_HAND}")
    return 0


def _enable(session: Session, sockets: list[str]) -> None:
    """Enabled is the service, too, for restart policies at boot. A new socket cannot be started under a
    service that runs: that one is started again, which no container notices (KillMode=process).
    """
    call(session, ["systemctl", "daemon-reload"])
    call(session, ["systemctl", "enable", "onggi.service", *sockets])
    new = [unit for unit in sockets if not _is_active(unit)]
    restart = bool(new) and _is_active("onggi.service")
    if restart:
        call(session, ["systemctl", "stop", "onggi.service"])
    call(session, ["systemctl", "start", *sockets])
    if restart:
        call(session, ["systemctl", "start", "onggi.service"])


def _is_active(unit: str) -> bool:
    command = ["systemctl", "is-active", "--quiet", unit]
    try:
        pid = os.posix_spawnp(command[0], command, os.environ)
    except OSError as error:
        raise CommandError(f"{command[0]}: {error.strerror}") from None
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _files(group: str, *, docker: bool) -> list[tuple[str, str, int]]:
    """(path below the prefix, text, mode), the commit point last."""
    sockets = "onggi.socket docker.socket" if docker else "onggi.socket"
    service = SERVICE_TEXT.format(sockets=sockets, alias="Alias=docker.service\n" if docker else "")
    found = [
        (SERVICE, service, 0o644),
        (SOCKET, SOCKET_TEXT.format(path="/run/onggi/onggi.sock", group=group), 0o644),
    ]
    if docker:
        text = SOCKET_TEXT.format(path="/run/docker.sock", group=DOCKER_GROUP)
        found.append((DOCKER_SOCKET, text, 0o644))
    return [*found, (LAUNCHER, launcher_text(), 0o755)]


def check(prefix: str, verb: str) -> str:
    """The prefix without its last slash. Raises CommandError without root."""
    if not prefix and os.getuid() != 0:
        raise CommandError(
            f"onggi system {verb}: only root can change this machine's services; use sudo, --prefix DIR, or "
            "--user for an engine of your own"
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


def write(path: str, text: str, mode: int) -> None:
    """Beside its place, then renamed. Raises CommandError."""
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
