"""The `onggi` command: Docker's words on a terminal, HTTP on a socket, and nothing else.

Start-up budget: `onggi ps` takes at most 1.3 times `docker ps`, so modules load only when a verb needs
them, and nothing here imports typing, enum, re, json, dataclasses, pathlib, subprocess, logging or argparse
at its head.
"""
