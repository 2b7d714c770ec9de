"""A registry's refusals in Docker's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.errors import NotFound

if TYPE_CHECKING:
    from onggi.registry.failures import RegistryFailure
    from onggi.spec.reference import Reference


def explained(failure: RegistryFailure, named: Reference) -> Exception:
    """A registry's refusal in the words and with the kind that dockerd has for it."""
    if failure.code == "DENIED":
        return NotFound(
            f"pull access denied for {named.familiar_name}, repository does not exist or may require "
            f"'docker login': {failure.message}"
        )
    if failure.code == "NAME_UNKNOWN":
        return NotFound(f"repository {named.familiar_name} not found: {failure.message}")
    if failure.code == "MANIFEST_UNKNOWN" or failure.status == 404:
        return NotFound(f"manifest for {named.familiar} not found: {failure.message}")
    return failure
