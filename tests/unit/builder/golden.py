"""Golden folders: `dockerfiles/NAME/Dockerfile` and beside it what each stage makes of it.

    tree.txt    the nodes, as S-expressions     typed.txt   the typed instructions, a line each
    error.txt   instead of all, for wrong-*     plan.txt    the graph, steps and image

ONGGI_GOLDEN=write remakes them; read the difference before you commit it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec

FOLDER = Path(__file__).parent / "dockerfiles"
CASES = sorted(path.parent.name for path in FOLDER.glob("*/Dockerfile"))
GOOD = [name for name in CASES if not name.startswith("wrong-")]
WRONG = [name for name in CASES if name.startswith("wrong-")]


def compare(case: str, name: str, made: str) -> None:
    path = FOLDER / case / name
    if os.environ.get("ONGGI_GOLDEN") == "write":
        path.write_text(made)
    assert made == path.read_text(), f"{path} differs: ONGGI_GOLDEN=write remakes it"


def files(case: str) -> dict[str, bytes]:
    folder = FOLDER / case
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def line(value: object) -> str:
    """A value as one line of JSON, sorted by nothing: fields stay in their order."""
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
