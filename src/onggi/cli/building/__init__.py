"""Builds from the command line: the context as an archive, progress, outputs, secrets."""
