"""Faults of what the engine owns beside images: containers, volumes, networks, and the database itself."""
