"""signedIdentity: whether what a signature says of an image's name fits the name that was asked for.

    matchExact                 the same name and tag
    matchRepoDigestOrExact     the same name and tag; by digest: the same repository (where nothing is said)
    matchRepository            the same repository, whatever tag (what cosign signs has no tag)
    exactReference             the given reference        exactRepository   the given repository
    remapIdentity              matchRepoDigestOrExact after a prefix of the name was replaced
    matchDigest                ours: any name, the digest alone counts (bundles that name no repository)

Source: containers-policy.json(5).
"""

from __future__ import annotations

from typing import Any

import msgspec

from onggi.errors import InvalidParameter
from onggi.spec import reference
from onggi.spec.reference import Reference

MEMBERS: dict[str, tuple[str, ...]] = {
    "matchExact": (),
    "matchRepoDigestOrExact": (),
    "matchRepository": (),
    "matchDigest": (),
    "exactReference": ("dockerReference",),
    "exactRepository": ("dockerRepository",),
    "remapIdentity": ("prefix", "signedPrefix"),
}


class Identity(msgspec.Struct, frozen=True):
    """One of the kinds above with its members' values, in the order of MEMBERS."""

    kind: str
    values: tuple[str, ...] = ()

    def accepts(self, named: Reference, signed: str) -> bool:
        """`signed` is the signature's docker-reference; empty where it has none."""
        if self.kind == "matchDigest":
            return True
        try:
            claim = reference.parse(signed) if signed else None
        except InvalidParameter:
            claim = None
        return claim is not None and RULES[self.kind](self, named, claim)


def identity_of(document: dict[str, Any]) -> Identity:
    """Raises ValueError for what containers-policy.json(5) does not know."""
    kind = document.get("type")
    members = MEMBERS.get(kind) if isinstance(kind, str) else None
    if members is None or not isinstance(kind, str):
        raise ValueError(f"unknown type {kind!r}")
    unknown = sorted(document.keys() - {"type", *members})
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}")
    values = tuple(document.get(name) for name in members)
    if not all(isinstance(value, str) and value for value in values):
        raise ValueError(f"{kind} needs {' and '.join(members)}")
    identity = Identity(kind, tuple(str(value) for value in values))
    _check(identity)
    return identity


def _check(identity: Identity) -> None:
    try:
        parsed = [reference.parse(value) for value in identity.values if identity.kind != "remapIdentity"]
    except InvalidParameter as error:
        raise ValueError(error.message) from None
    for one in parsed:
        named = bool(one.tag or one.digest)
        if named != (identity.kind == "exactReference"):
            raise ValueError(f"{one} must {'have no' if named else 'have a'} tag or digest")


def _exact(_: Identity, named: Reference, claim: Reference) -> bool:
    return bool(named.tag or named.digest) and str(named) == str(claim)


def _repository(_: Identity, named: Reference, claim: Reference) -> bool:
    return named.name == claim.name


def _digest_or_exact(identity: Identity, named: Reference, claim: Reference) -> bool:
    return (_repository if named.digest else _exact)(identity, named, claim)


def _exact_reference(identity: Identity, _: Reference, claim: Reference) -> bool:
    return bool(claim.tag or claim.digest) and str(reference.parse(identity.values[0])) == str(claim)


def _exact_repository(identity: Identity, _: Reference, claim: Reference) -> bool:
    return reference.parse(identity.values[0]).name == claim.name


def _remapped(identity: Identity, named: Reference, claim: Reference) -> bool:
    prefix, signed_prefix = identity.values
    if named.name == prefix or named.name.startswith(prefix + "/"):
        tail = (f":{named.tag}" if named.tag else "") + (f"@{named.digest}" if named.digest else "")
        named = reference.parse(signed_prefix + named.name[len(prefix) :] + tail)
    return _digest_or_exact(identity, named, claim)


RULES = {
    "matchExact": _exact,
    "matchRepoDigestOrExact": _digest_or_exact,
    "matchRepository": _repository,
    "exactReference": _exact_reference,
    "exactRepository": _exact_repository,
    "remapIdentity": _remapped,
}
