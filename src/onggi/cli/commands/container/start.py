"""Start stopped containers, or one and stay with it."""

from __future__ import annotations

from onggi.cli import streams
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER [CONTAINER...]"
ARGUMENTS = (1, None)
FLAGS = (
    ("attach", "a", "bool", False, "Connect stdout and stderr, and send signals on"),
    ("checkpoint", "", "string", "", "Go on from this checkpoint"),
    ("checkpoint-dir", "", "string", "", "Directory of the checkpoint"),
    ("detach-keys", "", "string", "", "Keys that leave the container running"),
    ("interactive", "i", "bool", False, "Connect stdin"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    if flags["attach"] or flags["interactive"]:
        if len(args) > 1:
            raise CommandError("you cannot start and attach multiple containers at once")
        return _attached(session, flags, args[0])
    if flags["checkpoint"] and len(args) > 1:
        raise CommandError("you cannot restore multiple containers at once")
    failed = []
    for name in args:
        try:
            _start(session, flags, name)
        except CommandError as error:
            session.err(error.message)
            failed.append(name)
        else:
            session.out(name)
    if failed:
        raise CommandError("Error: failed to start containers: " + ", ".join(failed))
    return 0


def _start(session: Session, flags: Flags, name: str) -> None:
    parameters: dict[str, Any] = {"checkpoint": flags["checkpoint"] or None}
    parameters["checkpoint-dir"] = flags["checkpoint-dir"] or None
    session.engine.call("POST", f"/containers/{name}/start", parameters)


def _attached(session: Session, flags: Flags, name: str) -> int:
    from onggi.cli.attached import Attached, killer
    from onggi.cli.commands.container.run import exit_status, wait_for

    engine = session.engine
    found = engine.get(f"/containers/{name}/json")
    identifier, tty = found["Id"], found["Config"]["Tty"]
    stdin = flags["interactive"] and found["Config"]["OpenStdin"]
    streams.check_tty(attach_stdin=stdin, tty=tty)
    keys = streams.detach_keys(flags["detach-keys"])
    parameters = {"stream": True, "stdin": stdin or None, "stdout": True, "stderr": True}
    parameters["detachKeys"] = flags["detach-keys"] or None
    sock, early, _ = engine.hijack(f"/containers/{identifier}/attach", parameters)
    waiting = wait_for(engine, identifier, remove=found["HostConfig"]["AutoRemove"])
    attached = Attached(engine, f"containers/{identifier}", tty=tty, stdin=stdin, keys=keys)
    attached.run(
        sock,
        early,
        kill=None if tty else killer(engine, identifier),
        started=lambda: _start(session, flags, identifier),
    )
    return 0 if attached.detached else exit_status(engine, waiting)
