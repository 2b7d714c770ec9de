"""JSON without the json package: the same values, and every fault a ValueError."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from onggi import jsontext

SRC = Path(__file__).parents[2] / "src"
WRONG = ["{", '{"a"', '{"a":', "[1,", '"', '{"a" 1}', "{1:2}", "nul", "1 2", '"\\x"', "[" * 100_000, "NaN"]


@pytest.mark.parametrize("value", [{}, [], {"a": [1, 2.5, None, True, "ü\n\u2028"]}, "x", 0, -1.5e300])
def test_both_ways(value: object) -> None:
    assert jsontext.loads(jsontext.dumps(value)) == value == json.loads(jsontext.dumps(value))


@pytest.mark.parametrize("text", WRONG, ids=[text[:8] for text in WRONG])
def test_faults_are_value_errors(text: str) -> None:
    with pytest.raises(ValueError):
        jsontext.loads(text)


def test_faults_are_value_errors_where_json_was_never_imported() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(SRC)!r})\n"
        "from onggi import jsontext\n"
        "assert 'json' not in sys.modules\n"
        "try: jsontext.loads('{')\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-IS", "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("invalid JSON: Expecting property name"), done.stderr
