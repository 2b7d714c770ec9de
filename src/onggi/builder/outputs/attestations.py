"""Statements about images: in-toto documents in a manifest beside each image of an index, in BuildKit's way.

    index --> image manifest
          --> attestation manifest        platform unknown/unknown, annotated with the image's digest
                layers: application/vnd.in-toto+json, annotated with the kind of predicate

Source: BuildKit docs/attestations/attestation-storage.md; in-toto Statement v0.1.
"""

from __future__ import annotations

import csv
import posixpath
from typing import Any
from urllib.parse import quote

import msgspec

from onggi.builder.outputs.bundle import Bundle
from onggi.builder.remote.exporting import truth
from onggi.errors import InvalidParameter, NotImplemented_
from onggi.spec import digest as digests
from onggi.spec import image as documents
from onggi.spec import reference as references
from onggi.spec.image import Descriptor, Image, PlatformField, RootFS
from onggi.spec.platform import Platform

STATEMENT = "https://in-toto.io/Statement/v0.1"
MEDIA_TYPE = "application/vnd.in-toto+json"
PROVENANCE, SPDX = "https://slsa.dev/provenance/v0.2", "https://spdx.dev/Document"
SBOM_NAME = "sbom.spdx.json"  # beside plain files
UNKNOWN = PlatformField(architecture="unknown", os="unknown")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for. `inline_only`: the provenance goes into an index that there is anyway."""

    provenance: str = ""  # min | max
    inline_only: bool = False
    builder_id: str = ""
    reproducible: bool = False
    filename: str = "provenance.json"  # beside plain files
    sbom: bool = False

    @property
    def needs_index(self) -> bool:
        return self.sbom or (bool(self.provenance) and not self.inline_only)

    def __bool__(self) -> bool:
        return self.sbom or bool(self.provenance)


def wanted(attributes: dict[str, str]) -> Wanted:
    """`attest:provenance=mode=max` and `attest:sbom=` of a front end. Raises InvalidParameter."""
    found = Wanted()
    for name, value in attributes.items():
        if not name.startswith("attest:"):
            continue
        kind = name.removeprefix("attest:")
        fields = dict(field.partition("=")[::2] for line in csv.reader([value]) for field in line if field)
        if truth("disabled", fields.pop("disabled", "")):
            continue
        fields.pop("type", None)
        if kind == "provenance":
            found = _provenance(found, fields)
        elif kind == "sbom":
            if fields.pop("generator", "") not in ("", "onggi"):
                raise NotImplemented_("sbom: this engine lists packages itself and runs no scanner image")
            found = msgspec.structs.replace(found, sbom=True)
        else:
            raise NotImplemented_(f"attestation {kind!r}: this engine makes provenance and sbom")
        if fields:
            raise InvalidParameter(f"{kind}: attribute {next(iter(fields))!r} is not known here")
    return found


def _provenance(found: Wanted, fields: dict[str, str]) -> Wanted:
    mode = fields.pop("mode", "min")
    if mode not in ("min", "max"):
        raise InvalidParameter(f"invalid provenance mode {mode!r}: min or max")
    if fields.pop("version", "v0.2") != "v0.2":
        raise NotImplemented_("provenance: this engine writes SLSA v0.2")
    filename = posixpath.basename(fields.pop("filename", "")) or found.filename
    if filename in (".", "..") or "\0" in filename:
        raise InvalidParameter(f"provenance: invalid filename {filename!r}")
    return msgspec.structs.replace(
        found, provenance=mode, filename=filename, builder_id=fields.pop("builder-id", ""),
        inline_only=truth("inline-only", fields.pop("inline-only", "")),
        reproducible=truth("reproducible", fields.pop("reproducible", "")),
    )  # fmt: skip


def purl(reference: str, platform: Platform | None = None) -> str:
    """An image as a package URL: pkg:docker/debian@12?platform=linux%2Famd64."""
    named = references.parse(reference)
    version = f"@{named.tag}" if named.tag else ""
    asked = [f"platform={quote(str(platform), safe='')}"] if platform is not None else []
    if named.digest:
        asked.insert(0, f"digest={named.digest}")
    return f"pkg:docker/{named.familiar_name}{version}" + ("?" + "&".join(asked) if asked else "")


def subjects(target: Descriptor, names: list[str], platform: Platform) -> list[dict[str, Any]]:
    """One image, under all its names."""
    digest = {"sha256": target.digest[7:]}
    return [{"name": purl(name, platform), "digest": digest} for name in names] or [
        {"name": "_", "digest": digest}
    ]


def statement(predicate_type: str, predicate: Any, subjects: list[dict[str, Any]]) -> bytes:
    """One document about `subjects`."""
    whole = {"_type": STATEMENT, "predicateType": predicate_type, "subject": subjects, "predicate": predicate}
    return msgspec.json.encode(whole)


def manifest(bundle: Bundle, target: Descriptor, statements: list[tuple[str, bytes]]) -> Descriptor:
    """The manifest that holds them, kept in the bundle; its entry for the index. Blocking."""
    layers = []
    for predicate_type, data in statements:
        bundle.document(MEDIA_TYPE, data)
        layers.append(
            Descriptor(
                media_type=MEDIA_TYPE, digest=digests.of(data), size=len(data),
                annotations={"in-toto.io/predicate-type": predicate_type},
            )
        )  # fmt: skip
    image = Image(
        os="unknown", architecture="unknown", rootfs=RootFS(diff_ids=[one.digest for one in layers])
    )
    config = bundle.document(documents.OCI_CONFIG, documents.encode(image))
    whole = documents.Manifest(
        schema_version=2, media_type=documents.OCI_MANIFEST, config=config, layers=layers
    )
    found = bundle.document(documents.OCI_MANIFEST, documents.encode(whole))
    notes = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": target.digest,
    }
    return msgspec.structs.replace(found, platform=UNKNOWN, annotations=notes)
