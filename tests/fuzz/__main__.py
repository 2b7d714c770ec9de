"""One target under atheris, until a fault or the limit:  python -m tests.fuzz TARGET [libFuzzer's options]

Descriptors are counted now and then: a target that leaves some open ends as a fault.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))  # the launchers of .venv do the same

with atheris.instrument_imports(include=["onggi"]):
    from tests.fuzz.targets import TARGETS

COUNT_EVERY = 2000
SPARE = 8  # descriptors that the loops and their first uses open


def main() -> None:
    target = TARGETS[sys.argv[1]]
    runs = first = 0

    def one(data: bytes) -> None:
        nonlocal runs, first
        runs += 1
        target.run(data)
        if runs % COUNT_EVERY == 0:
            held = len(os.listdir("/proc/self/fd"))
            first = first or held
            assert held <= first + SPARE, f"{held} descriptors are open, {first} were"

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        options = [f"-max_len={target.most_bytes}", "-timeout=20", "-rss_limit_mb=1024", *sys.argv[2:]]
        again = any(os.path.isfile(word) for word in sys.argv[2:])  # an input that was a fault
        atheris.Setup([sys.argv[0], *options, *([] if again else [corpus])], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
