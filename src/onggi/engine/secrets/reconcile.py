"""At start: what a crash left of a key that was being made."""

from __future__ import annotations

import glob
from typing import TYPE_CHECKING

from onggi.store import atomic

if TYPE_CHECKING:
    from onggi.engine.engine import Engine


def reconcile(engine: Engine) -> None:
    """Halves of a key file are thrown away; nothing is sealed with them. Blocking; before the first verb."""
    for path in glob.glob(f"{glob.escape(engine.paths.secrets_key)}.*.new"):
        atomic.remove(path)
