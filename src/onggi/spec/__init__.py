"""Typed data of the OCI and Docker formats: digests, references, platforms, images."""
