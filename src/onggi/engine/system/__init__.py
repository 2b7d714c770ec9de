"""Verbs of the engine itself."""
