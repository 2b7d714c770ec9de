"""`onggi daemon`: the process around the engine. Entry: main(argv)."""

from __future__ import annotations

from onggi.daemon.process import main

__all__ = ["main"]
