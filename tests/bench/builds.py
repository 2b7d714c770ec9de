"""Builds, side by side with dockerd's classic builder, and of a context of 50,000 files.

python -m tests.bench.builds                     build, rebuild, engine, context
python -m tests.bench.builds --rounds 9 rebuild engine

build      8 RUN and COPY steps, nothing cached, by `DOCKER_BUILDKIT=0 docker build` on both engines
rebuild    the same, all cached, as a whole client process
engine     the same at our engine alone: POST /build on its socket, from the first byte to the answer's last
context    50,000 files, 1 GB, by `onggi build` and by buildx: first, again, after a change of one file
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests import buildx, engines
from tests.bench.__main__ import pairs, timed
from tests.engines import Engine, UnixHTTP

STEPS = """FROM busybox:test
COPY a.txt /
RUN echo one > /one
COPY d /tree
RUN mkdir -p /x/y && echo two > /x/y/two
ENV NAME=value
RUN echo $NAME > /three
COPY *.txt /glob/
RUN cat /one /three > /four && sha256sum /four > /sums
CMD ["cat", "/four"]
"""
FILES, FILE_BYTES = 50_000, 20_000


def small(directory: Path) -> Path:
    """The context of the eight steps."""
    (directory / "d" / "sub").mkdir(parents=True)
    for name, text in {"Dockerfile": STEPS, "a.txt": "a\n", "b.txt": "b\n", "d/sub/c": "c\n"}.items():
        (directory / name).write_text(text)
    return directory


def classic(engine: Engine, context: Path, *words: str) -> float:
    """Seconds of `docker build` as a whole process."""
    env = {**os.environ, "DOCKER_HOST": engine.host, "DOCKER_BUILDKIT": "0"}
    command = ["docker", "build", "-q", *words, "-t", "bench:1", str(context)]
    return timed(lambda: subprocess.run(command, env=env, check=True, capture_output=True))


def request(engine: Engine, archive: bytes) -> float:
    """Seconds of one POST /build on a connection that is there."""
    connection = UnixHTTP(engine.socket, 60)
    connection.request("GET", "/_ping")
    connection.getresponse().read()

    def work() -> None:
        connection.request("POST", "/v1.41/build?t=bench:1", archive, {"Content-Type": "application/x-tar"})
        if b"Successfully built" not in connection.getresponse().read():
            raise RuntimeError("the build failed")

    return timed(work)


def packed(context: Path) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(context, ".")
    return out.getvalue()


# -- a context of 50,000 files


def large(directory: Path) -> Path:
    """50,000 files, 1 GB, in 500 directories; a Dockerfile that copies all of it."""
    block = os.urandom(FILE_BYTES - 8)
    for number in range(FILES):
        if number % 100 == 0:
            below = directory / f"d{number // 1000}" / f"s{number // 100}"
            below.mkdir(parents=True)
        (below / f"f{number}").write_bytes(b"%08d" % number + block)
    (directory / "Dockerfile").write_text("FROM busybox:test\nCOPY . /all/\n")
    return directory


def onggi_build(engine: Engine, context: Path) -> float:
    env = {**os.environ, "DOCKER_HOST": engine.host}
    command = [str(engines.ONGGI), "build", "-q", "-t", "large:1", str(context)]
    return timed(lambda: subprocess.run(command, env=env, check=True, capture_output=True))


def buildx_build(engine: Engine, context: Path) -> float:
    config = context.parent / "config"
    config.mkdir(exist_ok=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(config), "DOCKER_HOST": engine.host}
    command = [str(buildx.BUILDX), "build", "-q", "-t", "large:1", str(context)]
    return timed(lambda: subprocess.run(command, env=env, check=True, capture_output=True))


def contexts(engine: Engine, directory: Path, rounds: int) -> None:
    """Prints what each client takes, as a whole process."""
    print(
        "\n| context of 50,000 files, 1 GB | first | again | one file changed |\n|---|---:|---:|---:|",
        flush=True,
    )
    context = large(directory / "large")
    clients: dict[str, Callable[[Engine, Path], float]] = {"onggi build": onggi_build}
    if buildx.BUILDX.exists():
        clients["docker buildx build"] = buildx_build
    for name, build in clients.items():
        first = build(engine, context)
        again = statistics.median(build(engine, context) for _ in range(rounds))
        changed = []
        for number in range(rounds):
            (context / "d3" / "s30" / "f3000").write_text(f"{name} {number} {time.time_ns()}")
            changed.append(build(engine, context))
        print(f"| {name} | {first:.2f} s | {again:.2f} s | {statistics.median(changed):.2f} s |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cases", nargs="*", help="default: all")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--alone", action="store_true", help="before other work of this machine")
    args = parser.parse_args()
    if args.alone:
        os.nice(-15)
    wanted = args.cases or ["build", "rebuild", "engine", "context"]
    tmp = Path(tempfile.mkdtemp(prefix="onggi-bench-"))
    try:
        context = small(tmp / "small")
        with (
            engines.own_bridge() as bridge,
            engines.onggi(tmp) as ours,
            engines.dockerd(tmp, f"--bridge={bridge}", network=True) as theirs,
        ):
            for engine in (ours, theirs):
                engines.import_busybox(engine)
            print("| case | onggi | dockerd | ratio |\n|---|---:|---:|---:|", flush=True)
            for name, words in (("build", ["--no-cache"]), ("rebuild", [])):
                if name in wanted:
                    a, b, ratio = pairs(
                        args.rounds,
                        lambda words=words: classic(ours, context, *words),
                        lambda words=words: classic(theirs, context, *words),
                    )  # type: ignore[misc]
                    print(f"| {name} | {a * 1e3:.0f} ms | {b * 1e3:.0f} ms | {ratio:.2f} |", flush=True)
            if "engine" in wanted:
                archive = packed(context)
                request(ours, archive)
                seconds = sorted(request(ours, archive) for _ in range(args.rounds * 5))
                low, mid = seconds[len(seconds) // 10], statistics.median(seconds)
                print(f"| engine | {mid * 1e3:.1f} ms | | tenth percentile {low * 1e3:.1f} ms |", flush=True)
            if "context" in wanted:
                contexts(ours, tmp, max(3, args.rounds // 3))
        return 0
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main())
