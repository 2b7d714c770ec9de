"""`--cache-from type=local,src=DIR`, `--cache-to type=local,dest=DIR`: directories that only the client has.

A layout is sent before the build, and fetched after it; the engine knows both by the build's id.
"""

from __future__ import annotations

import os

from onggi.cli.errors import CommandError, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.session import Session


def fields(text: str) -> dict[str, str]:
    """`type=local,src=DIR`; {} for an image's name. Raises CommandError."""
    from onggi.cli.options import csv

    if "=" not in text:
        return {}
    pairs = [word.partition("=") for word in csv.fields(text)]
    if not all(equals for _, equals, _ in pairs):
        raise CommandError(f"invalid value {text!r}")
    return {name.strip().lower(): value for name, _, value in pairs}


def send(session: Session, texts: list[str], parameters: dict[str, Any]) -> list[str]:
    """What `cachefrom` is to say, local directories sent. One that has no cache is told, and left out."""
    found = []
    for text in texts:
        asked = fields(text)
        if asked.get("type") != "local":
            found.append(text)
            continue
        source = asked.get("src", "")
        if not source:
            raise CommandError("local cache importer requires src")
        digest = asked.get("digest") or _tagged(source, asked.get("tag", "latest"))
        if not digest:
            session.err(f"WARNING: local cache import at {source} not found")
            continue
        _send(session, source, parameters)
        found.append(f"type=local,src={_quoted(source)},digest={digest}")
    return found


def _quoted(path: str) -> str:
    """A name for the engine alone: a path may hold what a list of fields cannot."""
    import hashlib

    return hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()


def _tagged(path: str, tag: str) -> str:
    from onggi import jsontext

    try:
        with open(f"{path}/index.json", encoding="utf-8") as file:
            listed = jsontext.loads(file.read())["manifests"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    for one in listed:
        if (one.get("annotations") or {}).get("org.opencontainers.image.ref.name") == tag:
            return str(one.get("digest", ""))
    return ""


def _send(session: Session, path: str, parameters: dict[str, Any]) -> None:
    from onggi.cli.building.context import Context

    asked = {"buildid": parameters["buildid"], "src": _quoted(path)}
    headers = {"Content-Type": "application/x-tar"}
    try:
        response = session.engine.open("POST", "/build/cache", asked, Context(path, ""), headers)
    except Refused as error:
        if error.code == 404:
            raise CommandError(
                "this engine takes caches in directories by BuildKit's protocol only"
            ) from None
        raise
    session.engine.keep(response)


def wanted(texts: list[str]) -> tuple[list[str], list[str]]:
    """What `cacheto` is to say, and the local directories. Raises CommandError."""
    said, places = [], []
    for text in texts:
        asked = fields(text)
        if asked.get("type") == "local":
            place = asked.pop("dest", "")
            if not place:
                raise CommandError("local cache exporter requires dest")
            places.append(place)
            text = ",".join(f"{name}={value}" for name, value in asked.items()) + f",dest={_quoted(place)}"
        said.append(text)
    return said, places


def fetch(session: Session, place: str, parameters: dict[str, Any]) -> None:
    """The layout, over what was there. Raises Refused, OSError."""
    from onggi.cli.copying import extract

    asked = {"buildid": parameters["buildid"], "dest": _quoted(place)}
    response = session.engine.open("GET", "/build/cache", asked)
    os.makedirs(place, exist_ok=True)
    extract(response, place, is_dir=True, contents=False)
