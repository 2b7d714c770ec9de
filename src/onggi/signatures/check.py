"""The one question of this room: may this image come in?

    policy = load("/etc/onggi/policy.json")
    check(policy, named, digests, find)

`named` is what the user asked for, `digests` what it led to: the manifest's, and before it the index's
that leads to the manifest by digest (a signature of the index covers it). `find(digest)` gives what lies
beside that digest in the repository (attached.py); it is only called where a rule needs it. Refusals are
Forbidden and name the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from onggi.errors import Forbidden
from onggi.signatures.policy import Policy, Requirement
from onggi.signatures.sigstore import Attachment

if TYPE_CHECKING:
    from onggi.spec.reference import Reference

Find = Callable[[str], Iterable[Attachment]]


def check(policy: Policy, named: Reference, digests: Sequence[str], find: Find) -> None:
    """Raises Forbidden, naming the rule that refuses, and what `find` raises."""
    beside = _Beside(digests, find)
    for requirement in policy.of_registry(named):
        reason = _refusal(requirement, named, beside)
        if reason:
            raise Forbidden(
                f"Source image rejected: {named.familiar}: {reason} ({requirement.where} in {policy.path})"
            )


def check_archive(policy: Policy, transport: str) -> None:
    """For what comes without a registry and so without signatures: docker-archive, oci-archive, tarball.

    Raises Forbidden unless every rule accepts anything.
    """
    for requirement in policy.of_transport(transport):
        if requirement.kind != "insecureAcceptAnything":
            raise Forbidden(
                f"Source image rejected: images by {transport}: are rejected by policy "
                f"({requirement.where} in {policy.path})"
            )


class _Beside:
    """What lies beside the image, fetched once and only when it is asked for."""

    def __init__(self, digests: Sequence[str], find: Find) -> None:
        self.digests = digests
        self._find = find

    @cached_property
    def attachments(self) -> list[Attachment]:
        return [attachment for digest in self.digests for attachment in self._find(digest)]


def _refusal(requirement: Requirement, named: Reference, beside: _Beside) -> str:
    """Why the requirement refuses; empty where it holds."""
    if requirement.kind == "insecureAcceptAnything":
        return ""
    if requirement.kind == "reject":
        return "it is rejected by policy"
    if requirement.kind == "signedBy":
        return "OpenPGP signatures are not supported by this engine, so none is accepted"
    from onggi.signatures import verify  # cryptography takes 58 ms to import

    reasons = []
    for attachment in beside.attachments:
        reason = verify.refusal(requirement, named, beside.digests, attachment)
        if not reason:
            return ""
        reasons.append(reason)
    return "; ".join(dict.fromkeys(reasons)) or "A signature was required, but no signature exists"
