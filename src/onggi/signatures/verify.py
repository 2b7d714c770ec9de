"""One signature against one requirement: the key first, then what it says.

by key            a key of the policy made it; with rekorPublicKey the log must have it too
by certificate    the log has it, the certificate was valid then, an authority of the policy issued it,
and it is
                  of the person whom the policy names
then              the digest that was signed is the image's, and the name fits signedIdentity
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onggi.signatures import keys, rekor, sigstore
from onggi.signatures.keys import PublicKey
from onggi.signatures.policy import Fulcio, Requirement
from onggi.signatures.sigstore import Attachment, Signed
from onggi.signatures.unusable import Unusable

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from onggi.spec.reference import Reference


def refusal(
    requirement: Requirement, named: Reference, digests: Sequence[str], attachment: Attachment
) -> str:
    """Why this signature does not do; empty where it does."""
    try:
        signed = sigstore.read(attachment)
        _check_signer(requirement, signed)
    except Unusable as error:
        return str(error)
    if signed.digest not in digests:
        return f"the signature is of another image, {signed.digest}"
    if not requirement.identity.accepts(named, signed.reference):
        said = signed.reference or "no repository"
        return f"Signature for identity {said} is not accepted ({requirement.identity.kind})"
    return ""


def _check_signer(requirement: Requirement, signed: Signed) -> None:
    if requirement.fulcio is None:
        key = _key_that_made(requirement.keys, signed)
        if requirement.rekor_keys:
            _entered(requirement, signed, key)
        return
    leaf, between = _certificates(signed)
    key = keys.key_of(leaf)
    if not keys.verify(key, signed.signature, signed.covered):
        raise Unusable("the signature was not made with its certificate's key")
    at = _entered(requirement, signed, key)
    _check_holder(requirement.fulcio, leaf, between, at)


def _check_holder(fulcio: Fulcio, leaf: Certificate, between: list[Certificate], at: int) -> None:
    keys.check_certificate(leaf, between, fulcio.authorities, at)
    keys.check_person(leaf, fulcio.issuer, fulcio.email)


def _key_that_made(trusted: tuple[bytes, ...], signed: Signed) -> PublicKey:
    for pem in trusted:
        key = keys.public_key(pem)
        if keys.verify(key, signed.signature, signed.covered):
            return key
    raise Unusable("the signature is not made by a key of the policy")


def _entered(requirement: Requirement, signed: Signed, key: PublicKey) -> int:
    if signed.entry is None:
        raise Unusable("the signature has no entry of the transparency log")
    return rekor.check(signed.entry, requirement.rekor_keys, signed.signature, key, signed.logged)


def _certificates(signed: Signed) -> tuple[Certificate, list[Certificate]]:
    """The signer's certificate and those between it and an authority."""
    if not signed.certificate:
        raise Unusable("the signature has no certificate")
    between = keys.certificates(signed.chain) if signed.chain else []
    if signed.certificate.startswith(b"-----"):
        return keys.certificates(signed.certificate)[0], between
    return keys.certificate_of_der(signed.certificate), between
