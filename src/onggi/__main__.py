"""`python -m onggi`: the same as the launcher, only slower to start."""

from __future__ import annotations

from onggi.cli.main import main

if __name__ == "__main__":
    main()
