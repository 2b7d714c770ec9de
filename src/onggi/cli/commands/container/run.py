"""Create a container, start it, and stay with it until it exits.

The wait and attach requests go out on connections of their own before the start, so that no output and no
exit is missed, and the start costs one round trip.
"""

from __future__ import annotations

from onggi.cli import streams
from onggi.cli.commands.container import create
from onggi.cli.errors import RUN_FAILED, CommandError, FlagError, Refused, Unreachable, start_status
from onggi.cli.options import request
from onggi.cli.options.container import RUN_FLAGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from onggi.cli.engine import Engine
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "IMAGE [COMMAND] [ARG...]"
ARGUMENTS = (1, None)
INTERSPERSED = False
FLAGS = RUN_FLAGS


def run(session: Session, flags: Flags, args: list[str]) -> int:
    try:
        body = request.build(flags, args)
    except CommandError as error:
        raise create.named(session, error.message) from None
    learning = flags["security-learn"]
    if learning:
        if flags["detach"]:
            raise CommandError("conflicting options: cannot specify both --security-learn and --detach")
        body["HostConfig"] |= {"SecurityLearn": True, "AutoRemove": False}
    stdin = bool(body["AttachStdin"])
    if flags["detach"] and flags["attach"]:
        raise CommandError("conflicting options: cannot specify both --attach and --detach")
    if not flags["detach"]:
        streams.check_tty(attach_stdin=stdin, tty=flags["tty"])
    keys = streams.detach_keys(flags["detach-keys"])
    try:
        identifier = create.create(session, flags, body)
    except FlagError:
        raise
    except CommandError as error:
        raise create.named(session, error.message) from None
    engine = session.engine
    if flags["detach"]:
        try:
            engine.post(f"/containers/{identifier}/start")
        except Refused as error:
            raise create.named(session, error.message, start_status(error.reason)) from None
        session.out(identifier)
        return 0
    streamed = [name for name in ("Stdin", "Stdout", "Stderr") if body[f"Attach{name}"]]
    if not streamed:
        return _start_only(session, engine, identifier, remove=flags["rm"])
    if not learning:
        return _stay(session, flags, identifier, streamed, keys)
    return _learn(session, flags, args, identifier, lambda: _stay(session, flags, identifier, streamed, keys))


def _learn(session: Session, flags: Flags, args: list[str], identifier: str, stay: Callable[[], int]) -> int:
    """Run, then fetch and write what was learned; with --rm the container goes after that."""
    from onggi.cli import learning

    code = stay()
    try:
        learning.save(session, flags["security-learn"], identifier, args[0])
    finally:
        if flags["rm"]:
            session.engine.delete(f"/containers/{identifier}", v=True)
    return code


def _start_only(session: Session, engine: Engine, identifier: str, *, remove: bool) -> int:
    waiting = wait_for(engine, identifier, remove=remove)
    _start(session, engine, identifier)
    session.out(identifier)
    return exit_status(engine, waiting)


def _stay(session: Session, flags: Flags, identifier: str, streamed: list[str], keys: bytes) -> int:
    from onggi.cli.attached import Attached, killer

    engine = session.engine
    parameters: dict[str, Any] = {name.lower(): True for name in streamed}
    parameters |= {"stream": True, "detachKeys": flags["detach-keys"] or None}
    sock, early, _ = engine.hijack(f"/containers/{identifier}/attach", parameters)
    waiting = wait_for(engine, identifier, remove=flags["rm"] and not flags["security-learn"])
    attached = Attached(
        engine, f"containers/{identifier}", tty=flags["tty"], stdin="Stdin" in streamed, keys=keys
    )
    proxied = flags["sig-proxy"] and not flags["tty"]
    attached.run(
        sock,
        early,
        outputs=(1 if "Stdout" in streamed else -1, 2 if "Stderr" in streamed else -1),
        kill=killer(engine, identifier) if proxied else None,
        started=lambda: _start(session, engine, identifier),
    )
    if attached.detached:
        return 0
    return exit_status(engine, waiting)


def _start(session: Session, engine: Engine, identifier: str) -> None:
    try:
        engine.post(f"/containers/{identifier}/start")
    except Refused as error:
        raise create.named(session, error.message, start_status(error.reason)) from None


def wait_for(engine: Engine, identifier: str, *, remove: bool) -> Any:
    """Ask for the exit on a connection of its own; the answer's head comes before the exit."""
    condition = "removed" if remove else "next-exit"
    return engine.open("POST", f"/containers/{identifier}/wait", {"condition": condition}, fresh=True)


def exit_status(engine: Engine, waiting: Any) -> int:
    """The container's exit code. Raises CommandError where the engine could not tell."""
    from onggi import jsontext

    data = waiting.read()
    if not data.strip():
        raise Unreachable(engine.address.url)
    answer = jsontext.loads(data)
    if answer.get("Error"):
        raise CommandError(str(answer["Error"].get("Message", "")), RUN_FAILED)
    return int(answer["StatusCode"]) & 0xFF
