"""policy.json: which images are accepted, by where they come from.

    {"default": [requirement, ...],
     "transports": {"docker": {"docker.io/library": [requirement, ...], "*.example.com": [...], "": [...]}}}

For an image of a registry the most specific scope counts: name with tag or digest, repository, the paths
above it, the host, `*.domain` from near to far, "" of the transport, `default`. All requirements of that
scope must hold. Read as strictly as podman reads it: an unknown or doubled key is an error, since a
misspelt one would let images in.
Source: containers-policy.json(5). Keys are read when the policy is, so a lost key file is found at start.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any

import msgspec

from onggi.errors import InvalidParameter
from onggi.signatures.identity import Identity, identity_of
from onggi.spec.reference import Reference

POLICY_MAX_BYTES = 4 << 20
KEY_MAX_BYTES = 1 << 20


class Fulcio(msgspec.Struct, frozen=True):
    """Certificates for a person: the authorities (PEM), who vouched (an OIDC issuer), and for whom."""

    authorities: bytes
    issuer: str
    email: str


class Requirement(msgspec.Struct, frozen=True):
    """One rule. `kind` is its type; `where` how an error names it. Keys are PEM, any one of them will do."""

    kind: str
    where: str
    keys: tuple[bytes, ...] = ()
    fulcio: Fulcio | None = None
    rekor_keys: tuple[bytes, ...] = ()
    identity: Identity = Identity("matchRepoDigestOrExact")


class Policy(msgspec.Struct, frozen=True):
    """A whole policy: scope -> requirements for each transport."""

    path: str
    default: tuple[Requirement, ...]
    transports: dict[str, dict[str, tuple[Requirement, ...]]]

    def of_registry(self, named: Reference) -> tuple[Requirement, ...]:
        """The requirements for an image of a registry."""
        return self._first("docker", scopes(named))

    def of_transport(self, transport: str) -> tuple[Requirement, ...]:
        """For what has no name that a scope could match: docker-archive, oci-archive, tarball."""
        return self._first(transport, [""])

    def _first(self, transport: str, wanted: list[str]) -> tuple[Requirement, ...]:
        known = self.transports.get(transport, {})
        return next((known[scope] for scope in wanted if scope in known), self.default)


def scopes(named: Reference) -> list[str]:
    """The scopes that are looked for, in order."""
    found = [str(named)]
    name = named.name
    while name:
        found.append(name)
        name = name.rpartition("/")[0]
    labels = named.domain.split(".")
    found += ["*." + ".".join(labels[start:]) for start in range(1, len(labels))]
    return [*dict.fromkeys(found), ""]


def load(path: str) -> Policy:
    """Raises InvalidParameter, naming the file and the place in it."""
    try:
        data = _read(path, POLICY_MAX_BYTES)
    except OSError as error:
        raise InvalidParameter(f"signature policy {path}: {error.strerror}") from None
    return parse(data, path)


def parse(data: bytes, path: str) -> Policy:
    """A policy from its text. Raises InvalidParameter."""
    try:
        document = json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InvalidParameter(f"invalid policy in {path}: {error}") from None
    try:
        return _policy(document, path)
    except _Wrong as error:
        raise InvalidParameter(f"invalid policy in {path}: {error}") from None


class _Wrong(Exception):
    """A place of the document and what is wrong there."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        doubled = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {doubled!r} comes twice")
    return found


def _policy(document: Any, path: str) -> Policy:
    _keys(document, "the policy", {"default", "transports"})
    if "default" not in document:
        raise _Wrong("default policy is missing")
    transports = {}
    for transport, scoped in _object(document.get("transports", {}), "transports").items():
        where = f"transports.{transport}"
        transports[transport] = {
            scope: _requirements(listed, f"{where}[{json.dumps(scope)}]")
            for scope, listed in _object(scoped, where).items()
        }
    return Policy(path, _requirements(document["default"], "default"), transports)


def _requirements(listed: Any, where: str) -> tuple[Requirement, ...]:
    if not isinstance(listed, list) or not listed:
        raise _Wrong(f"{where}: the list of requirements is empty or no list")
    return tuple(_requirement(item, f"{where}[{number}]") for number, item in enumerate(listed))


def _requirement(item: Any, where: str) -> Requirement:
    kind = _object(item, where).get("type")
    read = READERS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise _Wrong(f"{where}: unknown policy requirement type {kind!r}")
    return read(item, f"{where} ({kind})")


def _plain(item: dict[str, Any], where: str) -> Requirement:
    _keys(item, where, {"type"})
    return Requirement(item["type"], where)


def _signed_by(item: dict[str, Any], where: str) -> Requirement:
    """OpenPGP signatures are known by name and accept nothing (check.py)."""
    _keys(item, where, {"type", "keyType", "keyPath", "keyPaths", "keyData", "signedIdentity"})
    if item.get("keyType") != "GPGKeys":
        raise _Wrong(f"{where}: keyType {item.get('keyType')!r} is not GPGKeys")
    return Requirement("signedBy", where)


def _sigstore(item: dict[str, Any], where: str) -> Requirement:
    key_names = ("keyPath", "keyPaths", "keyData", "keyDatas")
    rekor_names = tuple("rekorPublicK" + name[1:] for name in key_names)
    _keys(item, where, {"type", "fulcio", "signedIdentity", *key_names, *rekor_names})
    sources = [name for name in (*key_names, "fulcio") if name in item]
    if len(sources) != 1:
        raise _Wrong(f"{where}: exactly one of {', '.join(key_names)} and fulcio must be given")
    rekor = [name for name in rekor_names if name in item]
    if len(rekor) > 1:
        raise _Wrong(f"{where}: at most one of {', '.join(rekor_names)} may be given")
    rekor_keys = _key(item, rekor[0], where) if rekor else ()
    if sources == ["fulcio"]:
        if not rekor:
            raise _Wrong(f"{where}: fulcio needs a rekorPublicKey: certificates are valid for minutes")
        return Requirement(
            item["type"], where, (), _fulcio(item["fulcio"], where), rekor_keys, _identity(item, where)
        )
    keys = _key(item, sources[0], where)
    return Requirement(item["type"], where, keys, None, rekor_keys, _identity(item, where))


def _fulcio(item: Any, where: str) -> Fulcio:
    where = f"{where}.fulcio"
    _keys(item, where, {"caPath", "caData", "oidcIssuer", "subjectEmail"})
    sources = [name for name in ("caPath", "caData") if name in item]
    if len(sources) != 1:
        raise _Wrong(f"{where}: exactly one of caPath and caData must be given")
    issuer, email = (_text(item.get(name), f"{where}.{name}") for name in ("oidcIssuer", "subjectEmail"))
    return Fulcio(_key(item, sources[0], where)[0], issuer, email)


def _identity(item: dict[str, Any], where: str) -> Identity:
    if "signedIdentity" not in item:
        return Identity("matchRepoDigestOrExact")
    try:
        return identity_of(_object(item["signedIdentity"], f"{where}.signedIdentity"))
    except ValueError as error:
        raise _Wrong(f"{where}.signedIdentity: {error}") from None


def _key(item: dict[str, Any], name: str, where: str) -> tuple[bytes, ...]:
    """The bytes of a member that holds a path, a base64 text, or (plural) a list of them."""
    where = f"{where}.{name}"
    given = item[name] if name.endswith("s") else [item[name]]
    if not isinstance(given, list) or not given:
        raise _Wrong(f"{where} is empty or no list")
    is_path = name.rstrip("s").endswith("Path")
    return tuple(_file(_text(one, where), where) if is_path else _base64(one, where) for one in given)


def _file(path: str, where: str) -> bytes:
    try:
        return _read(path, KEY_MAX_BYTES)
    except OSError as error:
        raise _Wrong(f"{where}: {path}: {error.strerror}") from None


def _read(path: str, limit: int) -> bytes:
    with open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise InvalidParameter(f"{path} has more than {limit} bytes")
    return data


def _base64(value: Any, where: str) -> bytes:
    try:
        return base64.b64decode(_text(value, where), validate=True)
    except (binascii.Error, ValueError):
        raise _Wrong(f"{where} is not base64") from None


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise _Wrong(f"{where} must be a text that is not empty")
    return value


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"{where} is not an object")
    return value


def _keys(value: Any, where: str, allowed: set[str]) -> None:
    unknown = sorted(_object(value, where).keys() - allowed)
    if unknown:
        raise _Wrong(f"{where}: unknown key {unknown[0]!r}")


READERS: dict[str, Callable[[dict[str, Any], str], Requirement]] = {
    "insecureAcceptAnything": _plain,
    "reject": _plain,
    "signedBy": _signed_by,
    "sigstoreSigned": _sigstore,
}
