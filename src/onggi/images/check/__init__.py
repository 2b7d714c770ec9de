"""Faults of the store: what is not as the rows say, and how each is mended."""
