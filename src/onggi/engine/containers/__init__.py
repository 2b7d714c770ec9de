"""Verbs of containers, and the table of those that live."""
