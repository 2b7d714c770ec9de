"""The transparency log's word that a signature was entered, and when: checked with the log's pinned key
alone.

The signed entry timestamp is the log's signature of canonical JSON {"body", "integratedTime", "logID",
"logIndex"}; the body is a document that repeats signature, key and digest, which must be those of the
signature at hand.
Source: Rekor's API, types hashedrekord 0.0.1 and dsse 0.0.1. A log that gives no such timestamp (Rekor
2, which has inclusion proofs and timestamp authorities instead) is refused.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from onggi.signatures import keys
from onggi.signatures.keys import PublicKey
from onggi.signatures.sigstore import Entry
from onggi.signatures.unusable import Unusable, decoded


def check(entry: Entry, trusted: tuple[bytes, ...], signature: bytes, key: PublicKey, payload: bytes) -> int:
    """When the signature was entered, in seconds. Raises Unusable."""
    signed = {
        "body": entry.body,
        "integratedTime": entry.integrated_at,
        "logID": entry.log_id,
        "logIndex": entry.log_index,
    }
    data = json.dumps(signed, sort_keys=True, separators=(",", ":")).encode()
    promise = decoded(entry.promise, "the log's timestamp")
    if not any(keys.verify(keys.public_key(pem), promise, data) for pem in trusted):
        raise Unusable("the log's timestamp is not signed by a rekorPublicKey of the policy")
    _check_body(decoded(entry.body, "the log's entry"), signature, key, payload)
    return entry.integrated_at


def _check_body(body: bytes, signature: bytes, key: PublicKey, payload: bytes) -> None:
    try:
        document = json.loads(body)
        kind, spec = (document["kind"], document["apiVersion"]), document["spec"]
        entered, pem, digest = READERS[kind](spec)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise Unusable("the log's entry is of a kind that is not supported") from None
    if decoded(entered, "the signature in the log's entry") != signature:
        raise Unusable("the log's entry is of another signature")
    if digest != {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}:
        raise Unusable("the log's entry is of other signed bytes")
    if keys.der(_key(decoded(pem, "the key in the log's entry"))) != keys.der(key):
        raise Unusable("the log's entry is of another key")


def _key(pem: bytes) -> PublicKey:
    if b"BEGIN CERTIFICATE" in pem:
        return keys.key_of(keys.certificates(pem)[0])
    return keys.public_key(pem)


def _hashed(spec: Any) -> tuple[str, str, Any]:
    return spec["signature"]["content"], spec["signature"]["publicKey"]["content"], spec["data"]["hash"]


def _envelope(spec: Any) -> tuple[str, str, Any]:
    only = spec["signatures"]
    if len(only) != 1:
        raise KeyError("signatures")
    return only[0]["signature"], only[0]["verifier"], spec["payloadHash"]


READERS = {("hashedrekord", "0.0.1"): _hashed, ("dsse", "0.0.1"): _envelope}
