"""Run a further command in a running container."""

from __future__ import annotations

from onggi.cli import streams
from onggi.cli.errors import CANNOT_EXECUTE, CommandError
from onggi.cli.options import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER COMMAND [ARG...]"
ARGUMENTS = (2, None)
INTERSPERSED = False
FLAGS = (
    ("detach", "d", "bool", False, "Leave it in the background"),
    ("detach-keys", "", "string", "", "Keys that leave the command running"),
    ("env", "e", "list:env", None, "Set an environment variable"),
    ("env-file", "", "list", None, "Read environment variables from a file"),
    ("interactive", "i", "bool", False, "Keep stdin open even if not attached"),
    ("privileged", "", "bool", False, "Give all rights to the command"),
    ("tty", "t", "bool", False, "Give it a terminal"),
    ("user", "u", "string", "", "User to run as (name|uid[:group|gid])"),
    ("workdir", "w", "string", "", "Directory to start in"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    engine = session.engine
    detach, tty = flags["detach"], flags["tty"]
    stdin = flags["interactive"] and not detach
    keys = streams.detach_keys(flags["detach-keys"])
    body: dict[str, Any] = {
        "User": flags["user"],
        "Privileged": flags["privileged"],
        "Tty": tty,
        "AttachStdin": stdin,
        "AttachStdout": not detach,
        "AttachStderr": not detach,
        "DetachKeys": flags["detach-keys"],
        "Env": files.pairs(flags["env-file"], environment=True) + flags["env"],
        "WorkingDir": flags["workdir"],
        "Cmd": args[1:],
    }
    size = streams.terminal_size() if tty else None
    if size:
        body["ConsoleSize"] = list(size)
    if not detach:
        streams.check_tty(attach_stdin=stdin, tty=tty)
    # asked for first, so that the container is named by the error where it does not run
    identifier = engine.post(f"/containers/{args[0]}/exec", body)["Id"]
    start = {"Detach": detach, "Tty": tty}
    if size:
        start["ConsoleSize"] = list(size)
    if detach:
        engine.post(f"/exec/{identifier}/start", start)
        return 0
    from onggi.cli.attached import Attached

    sock, early, _ = engine.hijack(f"/exec/{identifier}/start", None, start)
    attached = Attached(engine, f"exec/{identifier}", tty=tty, stdin=stdin, keys=keys)
    attached.run(sock, early)
    if attached.detached:
        return 0
    return _exit_code(engine.get(f"/exec/{identifier}/json"))


def _exit_code(found: dict[str, Any]) -> int:
    code = found.get("ExitCode")
    if code is None:
        raise CommandError("the command's exit code is not known", CANNOT_EXECUTE)
    return int(code) & 0xFF
