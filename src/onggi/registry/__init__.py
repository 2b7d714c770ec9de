"""Registries: the distribution protocol, its credentials and its mirrors. Blocking; drawn in
docs/design/registry.md.
"""
