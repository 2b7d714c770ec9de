"""Public keys and certificates: what signed these bytes, and whether that may speak.

Signatures are those of cosign: ECDSA or RSA (PKCS #1 v1.5) with SHA-256, Ed25519 of the bytes themselves.
`cryptography` is imported here alone, when the first signature is checked: it takes 58 ms.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from onggi.signatures.unusable import Unusable

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey
# Fulcio's extensions (github.com/sigstore/fulcio, docs/oid-info.md): the issuer as bare bytes, and as
# DER UTF8String
ISSUER = ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
ISSUER_V2 = ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
CHAIN_MAX = 8
RSA_MIN_BITS = 2048


def public_key(pem: bytes) -> PublicKey:
    """Raises Unusable."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Unusable(f"not a public key in PEM: {error}") from None
    return _supported(key)


def _supported(key: object) -> PublicKey:
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < RSA_MIN_BITS:
        raise Unusable(f"an RSA key of {key.key_size} bits is too weak")
    if not isinstance(key, PublicKey):
        raise Unusable(f"a key of the kind {type(key).__name__} is not supported")
    return key


def der(key: PublicKey) -> bytes:
    """The key as SubjectPublicKeyInfo, for comparing."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def verify(key: PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether the key made the signature of the data."""
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        else:
            key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def certificates(data: bytes) -> list[x509.Certificate]:
    """All certificates of a PEM text. Raises Unusable."""
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise Unusable(f"not a certificate in PEM: {error}") from None


def certificate_of_der(data: bytes) -> x509.Certificate:
    """Raises Unusable."""
    try:
        return x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise Unusable(f"not a certificate: {error}") from None


def key_of(certificate: x509.Certificate) -> PublicKey:
    """Raises Unusable."""
    try:
        return _supported(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Unusable(f"the certificate's key: {error}") from None


def check_certificate(
    leaf: x509.Certificate, between: list[x509.Certificate], authorities: bytes, at: int
) -> None:
    """Whether an authority vouches for a code-signing certificate at that instant, in seconds.

    Paths, constraints and critical extensions as in RFC 5280. Raises Unusable.
    """
    authority = ExtensionPolicy.webpki_defaults_ca().may_be_present(
        x509.ExtendedKeyUsage, Criticality.AGNOSTIC, None
    )
    signer = ExtensionPolicy.permit_all().require_present(
        x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _signs_code
    )
    try:
        builder = PolicyBuilder().store(Store(certificates(authorities)))
        builder = builder.time(datetime.fromtimestamp(at, UTC)).max_chain_depth(CHAIN_MAX)
        builder = builder.extension_policies(ca_policy=authority, ee_policy=signer)
        builder.build_client_verifier().verify(leaf, between)
    except (VerificationError, ValueError, OverflowError) as error:
        raise Unusable(f"the certificate leads to no authority of the policy: {error}") from None


def _signs_code(_: object, __: object, usage: x509.ExtendedKeyUsage | None) -> None:
    if usage is None or ExtendedKeyUsageOID.CODE_SIGNING not in usage:
        raise ValueError("it is not for signing code")


def check_person(certificate: x509.Certificate, issuer: str, email: str) -> None:
    """Whether the certificate is of that person, vouched for by that issuer. Raises Unusable."""
    found = _issuer(certificate)
    if found != issuer:
        raise Unusable(f"the certificate's OIDC issuer is {found!r}, not {issuer!r}")
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        raise Unusable("the certificate names no subject") from None
    emails = names.get_values_for_type(x509.RFC822Name)
    if email not in emails:
        raise Unusable(f"the certificate is of {', '.join(emails) or 'nobody with an email'}, not of {email}")


def _issuer(certificate: x509.Certificate) -> str:
    found: set[str] = set()
    for extension in certificate.extensions:
        if not isinstance(extension.value, x509.UnrecognizedExtension):
            continue
        data = extension.value.value
        if extension.oid == ISSUER:
            found.add(data.decode("utf-8", "replace"))
        elif extension.oid == ISSUER_V2:
            found.add(_der_text(data))
    if len(found) != 1:
        raise Unusable(f"the certificate names {len(found)} OIDC issuers")
    return found.pop()


def _der_text(data: bytes) -> str:
    """A DER UTF8String of less than 128 bytes (X.690, 8.1.3.4), as every issuer's is."""
    if len(data) < 2 or data[0] != 0x0C or data[1] != len(data) - 2 or data[1] >= 0x80:
        raise Unusable("the certificate's OIDC issuer is not a short UTF8String")
    return data[2:].decode("utf-8", "replace")
