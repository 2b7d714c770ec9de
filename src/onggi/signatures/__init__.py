"""Whose images may come in: a policy in podman's language, cosign's signatures, no network."""
