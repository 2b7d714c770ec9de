"""The policy against signatures: what is accepted, and how a refusal names its rule."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from onggi.errors import Forbidden, InvalidParameter
from onggi.signatures import policy as policies
from onggi.signatures.check import check, check_archive
from onggi.signatures.sigstore import Attachment
from onggi.spec import reference
from tests.unit.signatures import signers
from tests.unit.signatures.signers import DIGEST, EMAIL, ISSUER, Authority, Log, b64

KEY, OTHER = signers.new_key(), signers.new_key()
LOG, OTHER_LOG = Log(), Log()
AUTHORITY, OTHER_AUTHORITY = Authority(), Authority()
NAME = "example.com/team/app:1"
REPOSITORY = {"type": "matchRepository"}
BY_KEY = {"type": "sigstoreSigned", "keyData": b64(signers.public(KEY)), "signedIdentity": REPOSITORY}
LOGGED = {**BY_KEY, "rekorPublicKeyData": b64(signers.public(LOG.key))}
BY_PERSON = {
    "type": "sigstoreSigned",
    "fulcio": {"caData": b64(AUTHORITY.pem), "oidcIssuer": ISSUER, "subjectEmail": EMAIL},
    "rekorPublicKeyData": b64(signers.public(LOG.key)),
    "signedIdentity": REPOSITORY,
}
MORE = '{"type": "matchExact", "x": 1}'
UNTAGGED = '{"type": "exactReference", "dockerReference": "a"}'
PERSON = '{"caData": "eA==", "oidcIssuer": "a", "subjectEmail": "b"}'
SIMPLE = signers.payload("example.com/team/app")


def policy(*requirements: Any, scope: str = "example.com/team") -> policies.Policy:
    document = {"default": [{"type": "reject"}], "transports": {"docker": {scope: list(requirements)}}}
    return policies.parse(json.dumps(document).encode(), "/etc/onggi/policy.json")


def refused(rule: Any, *beside: Attachment, name: str = NAME) -> str:
    """Why an image is refused; empty where it is accepted."""
    try:
        check(policy(rule), reference.parse(name), [DIGEST], lambda _: beside)
    except Forbidden as error:
        return error.message
    return ""


def remap(prefix: str, signed_prefix: str) -> dict[str, str]:
    return {"type": "remapIdentity", "prefix": prefix, "signedPrefix": signed_prefix}


def sigstore(members: str) -> str:
    return f'{{"default": [{{"type": "sigstoreSigned"{members}}}]}}'


def changed(attachment: Attachment, **notes: str) -> Attachment:
    return msgspec.structs.replace(attachment, annotations={**attachment.annotations, **notes})


def test_a_signature_by_the_key_is_accepted_and_nothing_else() -> None:
    good = signers.cosign(KEY, SIMPLE)
    assert refused(BY_KEY, good) == ""
    assert refused(BY_KEY, signers.cosign(OTHER, SIMPLE), good) == ""  # one of several is enough
    assert "A signature was required, but no signature exists" in refused(BY_KEY)
    assert "not made by a key of the policy" in refused(BY_KEY, signers.cosign(OTHER, SIMPLE))
    moved = msgspec.structs.replace(good, data=SIMPLE.replace(b"team/app", b"team/bad"))
    assert "not made by a key" in refused(BY_KEY, moved)
    other = signers.cosign(KEY, signers.payload("example.com/team/app", "sha256:" + "e" * 64))
    assert "of another image" in refused(BY_KEY, other)
    assert "of type 'x'" in refused(
        BY_KEY, signers.cosign(KEY, signers.payload("example.com/team/app", kind="x"))
    )


def test_the_refusal_names_the_rule_the_image_and_the_file() -> None:
    said = refused(BY_KEY)
    assert said.startswith("Source image rejected: example.com/team/app:1: ")
    assert 'transports.docker["example.com/team"][0] (sigstoreSigned) in /etc/onggi/policy.json' in said
    assert "default[0] (reject) in /etc/onggi" in refused(BY_KEY, name="elsewhere.org/a:1")
    assert "OpenPGP" in refused({"type": "signedBy", "keyType": "GPGKeys", "keyData": "eA=="})


def test_every_requirement_of_a_scope_must_hold_and_signatures_are_fetched_once() -> None:
    both = policy(BY_KEY, {**BY_KEY, "keyData": b64(signers.public(OTHER))})
    asked: list[str] = []

    def find(digest: str) -> list[Attachment]:
        asked.append(digest)
        return [signers.cosign(KEY, SIMPLE)]

    with pytest.raises(Forbidden, match=r"\[1\] \(sigstoreSigned\)"):
        check(both, reference.parse(NAME), [DIGEST], find)
    assert asked == [DIGEST]
    check(policy({"type": "insecureAcceptAnything"}), reference.parse(NAME), [DIGEST], find)
    assert asked == [DIGEST]


def test_a_signature_of_the_index_covers_what_it_leads_to() -> None:
    index = "sha256:" + "1" * 64
    beside = {index: [signers.cosign(KEY, signers.payload("example.com/team/app", index))]}
    check(policy(BY_KEY), reference.parse(NAME), [DIGEST, index], lambda digest: beside.get(digest, []))


@pytest.mark.parametrize(
    ("identity", "signed", "name", "fits"),
    [
        ({"type": "matchExact"}, NAME, NAME, True),
        ({"type": "matchExact"}, "example.com/team/app:2", NAME, False),
        ({"type": "matchExact"}, "example.com/team/app", NAME, False),
        ({"type": "matchExact"}, NAME, f"example.com/team/app@{DIGEST}", False),
        ({"type": "matchRepoDigestOrExact"}, NAME, f"example.com/team/app@{DIGEST}", True),
        ({"type": "matchRepoDigestOrExact"}, "example.com/team/app", NAME, False),
        (REPOSITORY, "example.com/team/app:9", NAME, True),
        (REPOSITORY, "example.com/team/ap", NAME, False),
        (REPOSITORY, "not a reference", NAME, False),
        ({"type": "exactReference", "dockerReference": "a.org/b:1"}, "a.org/b:1", NAME, True),
        ({"type": "exactReference", "dockerReference": "a.org/b:1"}, "a.org/b:2", NAME, False),
        ({"type": "exactRepository", "dockerRepository": "a.org/b"}, "a.org/b:7", NAME, True),
        ({"type": "exactRepository", "dockerRepository": "a.org/b"}, "a.org/c:7", NAME, False),
        (remap("example.com", "up.org/x"), "up.org/x/team/app:1", NAME, True),
        (remap("example.co", "up.org"), "up.org/team/app:1", NAME, False),
        (remap("b.org", "up.org"), NAME, NAME, True),
        ({"type": "matchDigest"}, "anything.org/at/all", NAME, True),
    ],
)  # fmt: skip
def test_the_name_that_was_signed(identity: dict[str, str], signed: str, name: str, fits: bool) -> None:
    rule = {**BY_KEY, "signedIdentity": identity}
    said = refused(rule, signers.cosign(KEY, signers.payload(signed)), name=name)
    assert (said == "") == fits
    assert fits or f"Signature for identity {signed} is not accepted" in said


def test_the_log_must_have_the_very_signature() -> None:
    plain = signers.cosign(KEY, SIMPLE)
    signature = plain.annotations["dev.cosignproject.cosign/signature"]

    def with_entry(entry: dict[str, Any]) -> Attachment:
        return changed(plain, **{"dev.sigstore.cosign/bundle": json.dumps(entry)})

    raw = base64.b64decode(signature)
    good = LOG.enter(raw, signers.public(KEY), SIMPLE)
    assert refused(LOGGED, with_entry(good)) == ""
    assert "no entry" in refused(LOGGED, plain)
    assert "not signed by a rekorPublicKey" in refused(
        LOGGED, with_entry(OTHER_LOG.enter(raw, signers.public(KEY), SIMPLE))
    )
    later = {**good, "Payload": {**good["Payload"], "integratedTime": signers.NOW + 1}}
    assert "not signed by a rekorPublicKey" in refused(LOGGED, with_entry(later))
    assert "of another signature" in refused(LOGGED, with_entry(LOG.enter(b"x", signers.public(KEY), SIMPLE)))
    assert "other signed bytes" in refused(LOGGED, with_entry(LOG.enter(raw, signers.public(KEY), b"x")))
    assert "of another key" in refused(LOGGED, with_entry(LOG.enter(raw, signers.public(OTHER), SIMPLE)))
    assert "of a kind" in refused(
        LOGGED, with_entry(LOG.promise({"kind": "rpm", "apiVersion": "1", "spec": 0}, 1))
    )


def test_a_certificate_of_a_person() -> None:
    good = signers.keyless(AUTHORITY, LOG, SIMPLE)
    assert refused(BY_PERSON, good) == ""
    assert "no certificate" in refused(BY_PERSON, signers.cosign(KEY, SIMPLE))
    assert "leads to no authority" in refused(BY_PERSON, signers.keyless(OTHER_AUTHORITY, LOG, SIMPLE))
    late = signers.keyless(AUTHORITY, LOG, SIMPLE, at=signers.NOW + 3600)
    assert "leads to no authority" in refused(BY_PERSON, late)  # it was valid for ten minutes
    assert "rekorPublicKey" in refused(BY_PERSON, signers.keyless(AUTHORITY, OTHER_LOG, SIMPLE))
    no_chain = changed(good, **{"dev.sigstore.cosign/chain": ""})
    assert "leads to no authority" in refused(BY_PERSON, no_chain)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"email": "someone@else.org"}, "is of someone@else.org, not of"),
        ({"issuer": "https://evil.example.com"}, "OIDC issuer is 'https://evil.example.com'"),
        ({"for_code": False}, "not for signing code"),
    ],
)
def test_a_certificate_of_somebody_else(made: dict[str, Any], why: str) -> None:
    key = signers.new_key()
    certificate = signers.pem(AUTHORITY.certificate(key, **made))
    plain = signers.cosign(key, SIMPLE)
    raw = base64.b64decode(plain.annotations["dev.cosignproject.cosign/signature"])
    attachment = changed(
        plain,
        **{
            "dev.sigstore.cosign/certificate": certificate.decode(),
            "dev.sigstore.cosign/chain": AUTHORITY.chain.decode(),
            "dev.sigstore.cosign/bundle": json.dumps(LOG.enter(raw, certificate, SIMPLE)),
        },
    )
    assert why in refused(BY_PERSON, attachment)


def test_a_leaf_may_not_issue_certificates() -> None:
    """What a leaf signs is worth nothing, though its own certificate is good."""
    evil = Authority()
    evil._key = holder = signers.new_key()
    leaf = AUTHORITY.certificate(holder)
    victim = signers.new_key()
    forged = evil.certificate(victim)
    data = signers.sign(victim, SIMPLE)
    attachment = Attachment(
        "application/vnd.dev.cosign.simplesigning.v1+json",
        SIMPLE,
        {
            "dev.cosignproject.cosign/signature": b64(data),
            "dev.sigstore.cosign/certificate": signers.pem(forged).decode(),
            "dev.sigstore.cosign/chain": signers.pem(leaf).decode() + AUTHORITY.chain.decode(),
            "dev.sigstore.cosign/bundle": json.dumps(LOG.enter(data, signers.pem(forged), SIMPLE)),
        },
    )
    assert "leads to no authority" in refused(BY_PERSON, attachment)


def test_bundles() -> None:
    by_digest = {**BY_KEY, "signedIdentity": {"type": "matchDigest"}}
    assert refused(by_digest, signers.bundle(KEY, None)) == ""
    assert refused(BY_KEY, signers.bundle(KEY, None, name="example.com/team/app")) == ""
    assert "no repository is not accepted" in refused(BY_KEY, signers.bundle(KEY, None))
    assert refused({**LOGGED, "signedIdentity": {"type": "matchDigest"}}, signers.bundle(KEY, LOG)) == ""
    assert "no signature of an image" in refused(
        by_digest, signers.bundle(KEY, None, kind="https://slsa.dev/x")
    )
    assert "of another image" in refused(by_digest, signers.bundle(KEY, None, digest="sha256:" + "0" * 64))
    cut = signers.bundle(KEY, None)
    assert "damaged signature" in refused(by_digest, msgspec.structs.replace(cut, data=cut.data[:-9]))


def test_archives_obey_their_own_transport() -> None:
    document = {
        "default": [{"type": "reject"}],
        "transports": {"docker-archive": {"": [{"type": "insecureAcceptAnything"}]}},
    }
    found = policies.parse(json.dumps(document).encode(), "p.json")
    check_archive(found, "docker-archive")
    with pytest.raises(Forbidden, match=r"oci-archive.*default\[0\] \(reject\) in p.json"):
        check_archive(found, "oci-archive")


@pytest.mark.parametrize(
    ("scope", "fits"),
    [
        ("example.com/team/app:1", True),
        ("example.com/team/app", True),
        ("example.com/team", True),
        ("example.com", True),
        ("*.com", True),
        ("", True),
        ("example.com/tea", False),
        ("*.example.com", False),
    ],
)
def test_scopes(scope: str, fits: bool) -> None:
    found = policy({"type": "insecureAcceptAnything"}, scope=scope).of_registry(reference.parse(NAME))
    assert (found[0].kind == "insecureAcceptAnything") == fits


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("{", "Expecting"),
        ("{}", "default policy is missing"),
        ('{"default": []}', "default: the list"),
        ('{"default": [{"type": "accept"}]}', "unknown policy requirement type 'accept'"),
        ('{"default": [{"type": "reject", "keyPath": "/x"}]}', "unknown key 'keyPath'"),
        ('{"default": [{"type": "reject"}], "default": [{"type": "reject"}]}', "comes twice"),
        ('{"default": [{"type": "reject"}], "Transports": {}}', "unknown key 'Transports'"),
        (sigstore(''), "exactly one of"),
        (sigstore(', "keyPath": "/nowhere/k.pub"'), "/nowhere/k.pub: No such file"),
        (sigstore(', "keyData": "%%"'), "not base64"),
        (sigstore(', "keyData": "eA==", "signedIdentity": {"type": "no"}'), "unknown type 'no'"),
        (sigstore(f', "keyData": "eA==", "signedIdentity": {MORE}'), "unknown key 'x'"),
        (sigstore(f', "keyData": "eA==", "signedIdentity": {UNTAGGED}'), "must have a tag"),
        (sigstore(f', "fulcio": {PERSON}'), "needs a rekorPublicKey"),
        ("[" * 100_000, "invalid policy"),
    ],
)  # fmt: skip
def test_a_policy_that_is_wrong_is_named(document: str, why: str) -> None:
    with pytest.raises(InvalidParameter, match=r"invalid policy in p\.json") as raised:
        policies.parse(document.encode(), "p.json")
    assert why in raised.value.message


def test_the_engine_starts_without_cryptography() -> None:
    """It takes 58 ms: only the first signature needs it."""
    code = "import sys, onggi.signatures.check; sys.exit('cryptography' in sys.modules)"
    subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=True, timeout=60
    )
