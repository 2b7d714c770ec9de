"""Sigstore's two forms of a signature, read into one value.

    cosign         a layer of the manifest at the tag sha256-HEX.sig: the signed text, with its signature,
                   certificate and entry of the log as annotations
    bundle         one JSON document in an artifact that refers to the image: a DSSE envelope around an
    in-toto
                   statement whose subject is the image, with certificate and entries inside

The signed text names a digest and perhaps a repository (`docker-reference`); everything else that came
with it is only believed as far as a key of the policy reaches.
Source: cosign's SIGNATURE_SPEC.md, containers/image's signing documents, sigstore's protobuf-specs
(bundle 0.3), DSSE's protocol.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from onggi.signatures.unusable import Unusable, decoded

COSIGN = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLES = (
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
)
COSIGN_TYPES = ("cosign container image signature", "atomic container signature")
STATEMENTS = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
SIGNS = "https://sigstore.dev/cosign/sign/v1"
ENVELOPE_TYPE = "application/vnd.in-toto+json"


class Attachment(msgspec.Struct, frozen=True):
    """What lies beside an image: a media type, bytes, and a layer's annotations."""

    media_type: str
    data: bytes
    annotations: dict[str, str] = {}


class Entry(msgspec.Struct, frozen=True):
    """One entry of a log as it came with a signature; `body` and `promise` are base64, `log_id` is hex."""

    body: str
    integrated_at: int
    log_index: int
    log_id: str
    promise: str


class Signed(msgspec.Struct, frozen=True):
    """A signature that nobody has verified yet.

    `covered` are the bytes that are signed, `logged` those whose sha256 the log holds. `certificate` is
    PEM or DER.
    """

    digest: str
    reference: str
    signature: bytes
    covered: bytes
    logged: bytes
    certificate: bytes = b""
    chain: bytes = b""
    entry: Entry | None = None


def read(attachment: Attachment) -> Signed:
    """Raises Unusable for what is no signature or of a form that is not known."""
    reader = READERS.get(attachment.media_type)
    if reader is None:
        raise Unusable(f"an attachment of type {attachment.media_type} is no signature")
    try:
        return reader(attachment)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise Unusable(f"a damaged signature: {type(error).__name__}: {error}") from None


def _cosign(attachment: Attachment) -> Signed:
    critical = json.loads(attachment.data)["critical"]
    if critical["type"] not in COSIGN_TYPES:
        raise Unusable(f"the signature is of type {critical['type']!r}")
    unknown = critical.keys() - {"type", "image", "identity"}
    if unknown:
        raise Unusable(f"the signature has the critical member {min(unknown)!r}, which is not known")
    notes = attachment.annotations
    bundle = notes.get("dev.sigstore.cosign/bundle", "")
    return Signed(
        digest=_text(critical["image"]["docker-manifest-digest"]),
        reference=_text(critical["identity"]["docker-reference"]),
        signature=decoded(notes.get("dev.cosignproject.cosign/signature"), "the signature"),
        covered=attachment.data,
        logged=attachment.data,
        certificate=notes.get("dev.sigstore.cosign/certificate", "").encode(),
        chain=notes.get("dev.sigstore.cosign/chain", "").encode(),
        entry=_cosign_entry(json.loads(bundle)) if bundle else None,
    )


def _cosign_entry(bundle: Any) -> Entry:
    payload = bundle["Payload"]
    return Entry(
        _text(payload["body"]),
        _number(payload["integratedTime"]),
        _number(payload["logIndex"]),
        _text(payload["logID"]),
        _text(bundle["SignedEntryTimestamp"]),
    )


def _bundle(attachment: Attachment) -> Signed:
    document = json.loads(attachment.data)
    envelope, material = document["dsseEnvelope"], document["verificationMaterial"]
    if envelope["payloadType"] != ENVELOPE_TYPE or len(envelope["signatures"]) != 1:
        raise Unusable("the bundle is not one signature of an in-toto statement")
    payload = decoded(envelope["payload"], "the statement")
    digest, reference = _subject(json.loads(payload))
    certificate = material.get("certificate")
    return Signed(
        digest=digest,
        reference=reference,
        signature=decoded(envelope["signatures"][0]["sig"], "the signature"),
        covered=_pre_authentication(ENVELOPE_TYPE.encode(), payload),
        logged=payload,
        certificate=decoded(certificate["rawBytes"], "the certificate") if certificate else b"",
        entry=_bundle_entry(material.get("tlogEntries") or []),
    )


def _subject(statement: Any) -> tuple[str, str]:
    """The digest that is signed, and the repository where the statement names one."""
    if statement["_type"] not in STATEMENTS or statement["predicateType"] != SIGNS:
        raise Unusable(f"the statement is of type {statement['predicateType']!r}: no signature of an image")
    if len(statement["subject"]) != 1:
        raise Unusable("the statement has several subjects")
    subject = statement["subject"][0]
    return "sha256:" + _text(subject["digest"]["sha256"]), str(subject.get("name") or "")


def _bundle_entry(entries: list[Any]) -> Entry | None:
    if not entries:
        return None
    first = entries[0]
    promise = (first.get("inclusionPromise") or {}).get("signedEntryTimestamp")
    if not promise:
        raise Unusable("the log gave no signed timestamp, only a proof of inclusion: not supported")
    return Entry(
        _text(first["canonicalizedBody"]),
        int(first["integratedTime"]),
        int(first["logIndex"]),
        decoded(first["logId"]["keyId"], "the log's id").hex(),
        _text(promise),
    )


def _pre_authentication(kind: bytes, payload: bytes) -> bytes:
    """What a DSSE signature is of (protocol.md, "PAE")."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("a text is missing")
    return value


def _number(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("a number is missing")
    return value


READERS: dict[str, Callable[[Attachment], Signed]] = {COSIGN: _cosign, **dict.fromkeys(BUNDLES, _bundle)}
