"""Copy files between a container and this machine.

    CONTAINER:SRC DEST     SRC CONTAINER:DEST     - in place of a local path: a tar archive

A directory is copied into DEST where that is a directory, else as DEST; `SRC/.` copies what is in it. The
archive's bytes: copying.py.
"""

from __future__ import annotations

import os

from onggi.cli import archive_file, copying, human
from onggi.cli.errors import CommandError
from onggi.cli.program import NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.engine import Engine
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "CONTAINER:SRC_PATH DEST_PATH|-"
DESCRIPTION = f"{NAME} cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH copies the other way."
ARGUMENTS = (2, 2)
FLAGS = (
    ("archive", "a", "bool", False, "Keep owners and groups"),
    ("follow-link", "L", "bool", False, "Copy what a link at SRC_PATH points to"),
    ("quiet", "q", "bool", False, "Do not say how much was copied"),
)


def run(session: Session, flags: Flags, args: list[str]) -> int:
    source, target = split(args[0]), split(args[1])
    if source[0] and target[0]:
        raise CommandError("copying between containers is not supported")
    if not source[0] and not target[0]:
        raise CommandError("must specify at least one container source")
    if source[0]:
        size = _from_container(session.engine, source, target[1], follow=flags["follow-link"])
    else:
        size = _to_container(session.engine, source[1], target, flags)
    if not flags["quiet"] and os.isatty(1) and args[1] != "-":
        session.err(f"Successfully copied {human.size(size, 3)} to {args[1]}")
    return 0


def split(word: str) -> tuple[str, str]:
    """(container, path); no container for an absolute path, `./x:y`, and `-`."""
    if word.startswith("/"):
        return "", word
    name, colon, path = word.partition(":")
    if not colon or name.startswith("."):
        return "", word
    return name, path


def _stat(engine: Engine, container: str, path: str) -> dict[str, Any]:
    response = engine.open("HEAD", f"/containers/{container}/archive", {"path": path})
    engine.keep(response)
    return copying.decode_stat(response.headers.get("x-docker-container-path-stat", ""))


def _from_container(engine: Engine, source: tuple[str, str], target: str, *, follow: bool) -> int:
    container, path = source
    path = copying.clean(path if path.startswith("/") else "/" + path, path)
    if target != "-":
        copying.check_place(target)
    if follow:
        path = _followed(engine, container, path)
    response = engine.open("GET", f"/containers/{container}/archive", {"path": path})
    if target == "-":
        archive_file.check_output("", "")
        archive_file.write(response, "")
        return 0
    found = copying.decode_stat(response.headers.get("x-docker-container-path-stat", ""))
    is_dir = bool(found.get("mode", 0) & copying.GO_DIRECTORY)
    return copying.extract(response, target, is_dir=is_dir, contents=path.endswith("/."))


def _followed(engine: Engine, container: str, path: str) -> str:
    found = _stat(engine, container, path)
    link = found.get("linkTarget")
    if not found.get("mode", 0) & copying.GO_LINK or not link:
        return path
    return str(link) if link.startswith("/") else os.path.join(os.path.dirname(path), link)


def _to_container(engine: Engine, source: str, target: tuple[str, str], flags: Flags) -> int:
    container, path = target
    path = copying.clean(path if path.startswith("/") else "/" + path, path)
    parameters: dict[str, Any] = {"noOverwriteDirNonDir": "true"}
    if flags["archive"]:
        parameters["copyUIDGID"] = "true"
    if source == "-":
        _must_be_dir(engine, container, path)
        _put(engine, container, {"path": path, **parameters}, archive_file.read("-"))
        return 0
    if flags["follow-link"]:
        source = os.path.realpath(source) + ("/." if source.endswith("/.") else "")
    local = copying.Local(source)
    found = _stat_or_none(engine, container, path)
    if found is not None and found.get("mode", 0) & copying.GO_LINK:
        path = _followed(engine, container, path)
        found = _stat_or_none(engine, container, path)
    copying.check_destination(f"{container}:{path}", found)
    directory, name = copying.destination(local, path, found)
    counted = copying.Counted(local.tar(name))
    _put(engine, container, {"path": directory, **parameters}, counted)
    return counted.size


def _put(engine: Engine, container: str, parameters: dict[str, Any], content: Any) -> None:
    headers = {"Content-Type": "application/x-tar"}
    response = engine.open("PUT", f"/containers/{container}/archive", parameters, content, headers)
    response.read()
    engine.keep(response)


def _must_be_dir(engine: Engine, container: str, path: str) -> None:
    found = _stat(engine, container, path)
    if found.get("mode", 0) & copying.GO_LINK:
        return
    if not found.get("mode", 0) & copying.GO_DIRECTORY:
        raise CommandError(f'destination "{container}:{path}" must be a directory')


def _stat_or_none(engine: Engine, container: str, path: str) -> dict[str, Any] | None:
    from onggi.cli.errors import Refused

    try:
        return _stat(engine, container, path)
    except Refused as error:
        if error.code != 404:
            raise
        engine.get(f"/containers/{container}/json")  # a missing container is named as such
        return None
