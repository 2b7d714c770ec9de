"""Connect this terminal to a running container."""

from __future__ import annotations

from onggi.cli import streams
from onggi.cli.errors import CommandError, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.engine import Engine
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER"
ARGUMENTS = (1, 1)
FLAGS = (
    ("detach-keys", "", "string", "", "Keys that leave the container running"),
    ("no-stdin", "", "bool", False, "Do not connect stdin"),
    ("sig-proxy", "", "bool", True, "Send signals on to the process"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    engine = session.engine
    found = engine.get(f"/containers/{args[0]}/json")
    state = found["State"]
    if not state["Running"]:
        raise CommandError("You cannot attach to a stopped container, start it first")
    if state["Paused"]:
        raise CommandError("You cannot attach to a paused container, unpause it first")
    if state["Restarting"]:
        raise CommandError("You cannot attach to a restarting container, wait until it is running")
    tty = found["Config"]["Tty"]
    stdin = found["Config"]["OpenStdin"] and not flags["no-stdin"]
    streams.check_tty(attach_stdin=stdin, tty=tty)
    keys = streams.detach_keys(flags["detach-keys"])
    from onggi.cli.attached import Attached, killer
    from onggi.cli.commands.container.run import exit_status

    identifier = found["Id"]
    waiting = engine.open("POST", f"/containers/{identifier}/wait", {"condition": "not-running"}, fresh=True)
    parameters = {"stream": True, "stdin": stdin or None, "stdout": True, "stderr": True}
    parameters["detachKeys"] = flags["detach-keys"] or None
    sock, early, _ = engine.hijack(f"/containers/{identifier}/attach", parameters)
    if not _runs(engine, identifier):  # it ended in between: we would be attached to its next run
        sock.close()
        return exit_status(engine, waiting)
    attached = Attached(engine, f"containers/{identifier}", tty=tty, stdin=stdin, keys=keys)
    proxied = flags["sig-proxy"] and not tty
    attached.run(sock, early, kill=killer(engine, identifier) if proxied else None)
    if attached.detached:
        raise CommandError("read escape sequence")
    return exit_status(engine, waiting)


def _runs(engine: Engine, identifier: str) -> bool:
    try:
        return bool(engine.get(f"/containers/{identifier}/json")["State"]["Running"])
    except Refused:
        return False  # it was removed with its end
