"""Secrets and configs: made, listed, changed, removed, and given to containers (docs/design/secrets.md)."""
