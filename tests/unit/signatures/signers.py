"""Signatures as cosign makes them, by keys and authorities of the tests' own: a shipped fake of a
signer, of Fulcio and of Rekor, written from their documents.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from onggi.signatures.sigstore import BUNDLES, COSIGN, ENVELOPE_TYPE, SIGNS, STATEMENTS, Attachment

DIGEST = "sha256:" + "d" * 64
BORN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = int(BORN.timestamp()) + 60
ISSUER = "https://accounts.example.com"
EMAIL = "releases@example.com"
Key = ec.EllipticCurvePrivateKey


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def public(key: Key) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def sign(key: Key, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def payload(reference: str, digest: str = DIGEST, kind: str = "cosign container image signature") -> bytes:
    critical = {
        "identity": {"docker-reference": reference},
        "image": {"docker-manifest-digest": digest},
        "type": kind,
    }
    return json.dumps({"critical": critical, "optional": None}).encode()


def cosign(key: Key, data: bytes, **notes: str) -> Attachment:
    """A layer of cosign's tag."""
    return Attachment(COSIGN, data, {"dev.cosignproject.cosign/signature": b64(sign(key, data)), **notes})


class Log:
    """A transparency log: enters what it is given, and says when."""

    def __init__(self) -> None:
        self.key = new_key()

    def enter(self, signature: bytes, pem: bytes, signed: bytes, at: int = NOW) -> dict[str, Any]:
        digest = {"algorithm": "sha256", "value": hashlib.sha256(signed).hexdigest()}
        content = {"content": b64(signature), "publicKey": {"content": b64(pem)}}
        body = {
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {"data": {"hash": digest}, "signature": content},
        }
        return self.promise(body, at)

    def enter_envelope(self, signature: bytes, pem: bytes, signed: bytes, at: int = NOW) -> dict[str, Any]:
        digest = {"algorithm": "sha256", "value": hashlib.sha256(signed).hexdigest()}
        listed = [{"signature": b64(signature), "verifier": b64(pem)}]
        return self.promise(
            {"apiVersion": "0.0.1", "kind": "dsse", "spec": {"payloadHash": digest, "signatures": listed}}, at
        )

    def promise(self, body: dict[str, Any], at: int) -> dict[str, Any]:
        entry = {
            "body": b64(json.dumps(body).encode()),
            "integratedTime": at,
            "logID": "ab" * 32,
            "logIndex": 7,
        }
        text = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
        return {"SignedEntryTimestamp": b64(sign(self.key, text)), "Payload": entry}


class Authority:
    """A root and an intermediate that give certificates for ten minutes, as Fulcio does."""

    def __init__(self) -> None:
        self._root_key, self._key = new_key(), new_key()
        self.root = self._issue("root", self._root_key, "root", self._root_key, depth=1)
        self.intermediate = self._issue("between", self._key, "root", self._root_key, depth=0)

    @property
    def pem(self) -> bytes:
        return self.root.public_bytes(serialization.Encoding.PEM)

    @property
    def chain(self) -> bytes:
        return self.intermediate.public_bytes(serialization.Encoding.PEM)

    def certificate(
        self, key: Key, email: str = EMAIL, issuer: str = ISSUER, *, for_code: bool = True
    ) -> x509.Certificate:
        text = issuer.encode()
        usage = ExtendedKeyUsageOID.CODE_SIGNING if for_code else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder("", key.public_key(), "between", timedelta(minutes=10))
        subject = x509.SubjectAlternativeName([x509.RFC822Name(email)])
        return (
            builder.add_extension(subject, critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                _unrecognized("1.3.6.1.4.1.57264.1.8", b"\x0c" + bytes([len(text)]) + text), critical=False
            )
            .add_extension(_from(self._key), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _issue(self, name: str, key: Key, issuer: str, by: Key, *, depth: int) -> x509.Certificate:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        return (
            self._builder(name, key.public_key(), issuer, timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=depth), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(_from(by), critical=False)
            .sign(by, hashes.SHA256())
        )

    def _builder(
        self, name: str, key: ec.EllipticCurvePublicKey, issuer: str, lasts: timedelta
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(issuer))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(BORN)
            .not_valid_after(BORN + lasts)
        )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])


def _from(key: Key) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _unrecognized(oid: str, data: bytes) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(ObjectIdentifier(oid), data)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def keyless(authority: Authority, log: Log, data: bytes, *, at: int = NOW) -> Attachment:
    """cosign's form with a certificate; its key lives no longer than this call."""
    key = new_key()
    found = pem(authority.certificate(key))
    entry = log.enter(signature := sign(key, data), found, data, at)
    return Attachment(
        COSIGN,
        data,
        {
            "dev.cosignproject.cosign/signature": b64(signature),
            "dev.sigstore.cosign/certificate": found.decode(),
            "dev.sigstore.cosign/chain": authority.chain.decode(),
            "dev.sigstore.cosign/bundle": json.dumps(entry),
        },
    )


def bundle(
    key: Key, log: Log | None, *, name: str = "", digest: str = DIGEST, kind: str = SIGNS
) -> Attachment:
    """A bundle of version 0.3, by key."""
    subject = {"name": name, "digest": {"sha256": digest[7:]}}
    statement = json.dumps(
        {"_type": STATEMENTS[0], "subject": [subject], "predicateType": kind, "predicate": {}}
    ).encode()
    covered = b"DSSEv1 %d %s %d %s" % (len(ENVELOPE_TYPE), ENVELOPE_TYPE.encode(), len(statement), statement)
    signature = sign(key, covered)
    material: dict[str, Any] = {"publicKey": {"hint": "x"}}
    if log:
        entry = log.enter_envelope(signature, public(key), statement)
        material["tlogEntries"] = [
            {
                "logIndex": str(entry["Payload"]["logIndex"]),
                "logId": {"keyId": b64(bytes.fromhex(entry["Payload"]["logID"]))},
                "integratedTime": str(entry["Payload"]["integratedTime"]),
                "inclusionPromise": {"signedEntryTimestamp": entry["SignedEntryTimestamp"]},
                "canonicalizedBody": entry["Payload"]["body"],
            }
        ]
    envelope = {
        "payload": b64(statement),
        "payloadType": ENVELOPE_TYPE,
        "signatures": [{"sig": b64(signature)}],
    }
    document = {"mediaType": BUNDLES[0], "verificationMaterial": material, "dsseEnvelope": envelope}
    return Attachment(BUNDLES[0], json.dumps(document).encode())
