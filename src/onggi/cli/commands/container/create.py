"""Create a container, pulling its image where it is missing."""

from __future__ import annotations

import os

from onggi.cli import http, reference, trust
from onggi.cli.errors import RUN_FAILED, CommandError, Refused
from onggi.cli.options import files, request
from onggi.cli.options.container import FLAGS as FLAGS
from onggi.cli.program import NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "IMAGE [COMMAND] [ARG...]"
ARGUMENTS = (1, None)
INTERSPERSED = False


def run(session: Session, flags: Flags, args: list[str]) -> int:
    try:
        body = request.build(flags, args)
    except CommandError as error:
        raise named(session, error.message) from None
    session.out(create(session, flags, body))
    return 0


def named(session: Session, message: str, status: int = RUN_FAILED) -> CommandError:
    """A failure of `run` or `create` before the process existed, with Docker's frame around it."""
    return CommandError(
        f"{NAME}: {message}\n\nRun '{NAME} {session.spelled} --help' for more information", status
    )


def create(session: Session, flags: Flags, body: dict[str, Any]) -> str:
    """POST /containers/create, with a pull before it or after a first failure; the new id. Raises
    CommandError.
    """
    trust.refuse(flags)
    policy = flags["pull"]
    if policy not in ("always", "missing", "never", ""):
        raise CommandError(
            f'invalid pull option: \'{policy}\': must be one of "always", "missing" or "never"'
        )
    image: str = body["Image"]
    platform = flags["platform"]
    reference.check(image)
    cid_file = CidFile(flags["cidfile"])
    shared = _api_socket(session, flags, body)
    if policy == "always":
        _pull(session, flags, image)
    parameters = {"name": flags["name"] or None, "platform": platform or None}
    target = "/containers/create" + http.query(parameters)
    try:
        answer = session.engine.post(target, body)
    except Refused as error:
        reason = error.reason.lower()  # the second: it is here, but not of the platform asked for
        missing = error.code == 404 and ("no such image" in reason or "image with reference" in reason)
        if not missing or policy != "missing":
            raise
        if not flags["quiet"]:
            session.err(f"Unable to find image '{reference.familiar(image)}' locally")
        _pull(session, flags, image)
        answer = session.engine.post(target, body)
    for warning in answer.get("Warnings") or []:
        session.err(f"WARNING: {warning}")
    identifier: str = answer["Id"]
    cid_file.write(identifier)
    if shared:
        from onggi.cli.options import api_socket

        api_socket.give(session, identifier, shared)
    return identifier


def _api_socket(session: Session, flags: Flags, body: dict[str, Any]) -> dict[str, Any]:
    if not flags["use-api-socket"]:
        return {}
    from onggi.cli.options import api_socket  # seldom asked for

    return api_socket.share(session, body)


def _pull(session: Session, flags: Flags, image: str) -> None:
    from onggi.cli import pulling

    pulling.pull(session, image, platform=flags["platform"], quiet=flags["quiet"], out_fd=2)


class CidFile:
    """The file of --cidfile: refused where it exists, removed again where no id came."""

    def __init__(self, path: str) -> None:
        self._path = path
        if not path:
            return
        if os.path.exists(path):
            raise CommandError(
                f"container ID file found, make sure the other container isn't running or delete {path}"
            )
        try:
            with open(path, "x", encoding="ascii"):
                pass
            os.unlink(path)
        except OSError as error:
            raise CommandError(
                f"failed to create the container ID file: open {path}: {files.reason(error)}"
            ) from None

    def write(self, identifier: str) -> None:
        if self._path:
            with open(self._path, "x", encoding="ascii") as file:
                file.write(identifier)
