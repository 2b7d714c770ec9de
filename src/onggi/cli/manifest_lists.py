"""Manifest lists in the making: `<config dir>/manifests/LIST/MANIFEST`, Docker's client's own files.

    {"Ref": "docker.io/a/b:1", "Descriptor": {..., "platform": {...}}, "Raw": "base64",
     "SchemaV2Manifest" or "OCIManifest": {...}}

Names of files are references with `-` for a colon and `_` for a slash. A list that `docker manifest create`
began can be annotated and pushed by us, and the other way round. What is in a registry is asked of the
engine (docs/decisions/manifests-by-the-engine.md).
"""

from __future__ import annotations

import binascii
import os

from onggi import jsontext
from onggi.cli import credentials
from onggi.cli.errors import CommandError, Refused
from onggi.errors import InvalidParameter
from onggi.spec import reference as references
from onggi.spec.reference import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.session import Session

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class NoSuchManifest(CommandError):
    """Neither file nor directory of that name."""

    def __init__(self, named: Reference) -> None:
        super().__init__(f"No such manifest: {named}")


def parse(text: str) -> Reference:
    """With the tag `latest` where there is none. Raises CommandError."""
    try:
        return references.parse(text).tagged()
    except InvalidParameter as error:
        raise CommandError(error.message) from None


# ------------------------------------------------------------------------------------------ files


def members(session: Session, listed: Reference) -> list[dict[str, Any]]:
    """All manifests of a list, by the names of their files. Raises NoSuchManifest."""
    directory = _directory(session, listed)
    try:
        names = sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        raise NoSuchManifest(listed) from None
    return [_load(f"{directory}/{name}", listed) for name in names if not name.endswith(".new")]


def member(session: Session, listed: Reference, named: Reference) -> dict[str, Any]:
    """Raises NoSuchManifest."""
    return _load(f"{_directory(session, listed)}/{_safe(named)}", named)


def save(session: Session, listed: Reference, named: Reference, manifest: dict[str, Any]) -> None:
    directory = _directory(session, listed)
    path = f"{directory}/{_safe(named)}"
    try:
        os.makedirs(directory, mode=0o755, exist_ok=True)
        with open(f"{path}.new", "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(escaped(jsontext.dumps(manifest)))
        os.replace(f"{path}.new", path)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None


def remove(session: Session, listed: Reference) -> None:
    import shutil

    shutil.rmtree(_directory(session, listed), ignore_errors=True)


def _directory(session: Session, listed: Reference) -> str:
    return f"{session.config_dir()}/manifests/{_safe(listed)}"


def _safe(named: Reference) -> str:
    return str(named).replace(":", "-").replace("/", "_")


def _load(path: str, named: Reference) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            found = jsontext.loads(file.read())
    except (FileNotFoundError, NotADirectoryError):
        raise NoSuchManifest(named) from None
    except (OSError, ValueError) as error:
        raise CommandError(f"{path}: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("Descriptor"), dict) or not found.get("Ref"):
        raise CommandError(f"{path}: it is no manifest with Ref and Descriptor")
    return found


# ------------------------------------------------------------------------------------------ registries


def ask(session: Session, named: Reference, *, insecure: bool) -> tuple[bool, list[dict[str, Any]]]:
    """What the registry has by that name: (is it a list, its manifests). Raises Refused, CommandError."""
    try:
        found = session.engine.call(
            "GET",
            f"/distribution/{named}/manifest",
            {"insecure": "1" if insecure else None},
            headers={"X-Registry-Auth": credentials.header(session, named.familiar_name)},
        )
    except Refused as error:
        raise refusal(error) from None
    return bool(found["List"]), [_described(one) for one in found["Manifests"]]


def refusal(error: Refused) -> CommandError:
    """Docker's own words where the registry lacks it, and clear ones where the engine is a dockerd."""
    if error.code == 404 and "page not found" in error.reason:
        return CommandError(
            "this engine does not ask registries for manifests: `manifest` with a registry needs an Onggi "
            "engine (Docker's client does it without its engine)"
        )
    return CommandError(error.reason) if error.code == 404 else error


def _described(found: dict[str, Any]) -> dict[str, Any]:
    """With the document beside its bytes, as Docker's client keeps it."""
    oci = found["Descriptor"].get("mediaType") == OCI_MANIFEST
    return {**found, "OCIManifest" if oci else "SchemaV2Manifest": jsontext.loads(raw(found))}


def raw(manifest: dict[str, Any]) -> str:
    """The manifest's own text. Raises CommandError where it is not there."""
    try:
        return binascii.a2b_base64(manifest["Raw"]).decode("utf-8", "surrogateescape")
    except (KeyError, TypeError, ValueError):
        document = manifest.get("SchemaV2Manifest") or manifest.get("OCIManifest")
        if not document:
            raise CommandError(f"{manifest['Ref']} has no payload") from None
        return jsontext.dumps(document)


# ------------------------------------------------------------------------------------------ lists


def as_list(listed: Reference, manifests: list[dict[str, Any]]) -> tuple[str, str]:
    """(media type, text) of the list; byte for byte what Docker's client makes. Raises CommandError."""
    entries = [_entry(listed, one) for one in manifests]
    oci = bool(entries) and entries[0].get("mediaType") == OCI_MANIFEST
    media_type = OCI_INDEX if oci else DOCKER_LIST
    from onggi.cli.inspection import indent

    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
    return media_type, indent(escaped(jsontext.dumps(document)), "   ")


def _entry(listed: Reference, manifest: dict[str, Any]) -> dict[str, Any]:
    domain = parse(str(manifest["Ref"])).domain
    if domain != listed.domain:
        raise CommandError(
            "cannot use source images from a different registry than the target image: "
            f"{domain} != {listed.domain}"
        )
    given = manifest["Descriptor"]
    described = {name: given[name] for name in ("mediaType", "size", "digest") if given.get(name)}
    platform = given.get("platform") or {}
    kept = {name: platform.get(name, "") for name in ("architecture", "os")}
    more = ("os.version", "os.features", "variant")
    return {
        **described,
        "platform": {**kept, **{name: platform[name] for name in more if platform.get(name)}},
    }


def escaped(text: str) -> str:
    """JSON as Go writes it: what means something to HTML is escaped. It stands in strings only."""
    for letter, code in ESCAPES.items():
        text = text.replace(letter, code)
    return text
