"""Pull and push, side by side with dockerd on one registry on loopback: `python -m tests.bench.registry`.

pull        an image of eight gzip layers, 1 GB unpacked, 12,000 files; nothing of it is there
pull-again  the same when all is present: ten times, and how many requests the registry saw
push        the same image to a registry that is empty
memory      the engine's peak (VmHWM of its daemon) in each of these, and in import, save and load of a layer
            of the whole size

Pairs A B A B in one run, medians of the ratios. `--size` in MB. `--alone` gives the processes of the run,
both engines alike, the machine for themselves where others work on it (sched(7), autogroup nice).
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests import engines, registries
from tests.engines import Engine
from tests.registries import Registry

LAYERS, FILES = 8, 1500


def layer(number: int, size: int) -> bytes:
    """A tar of FILES files, together about `size` bytes, half of which compress."""
    noise = os.urandom(4 << 20)
    out = io.BytesIO()
    each = size // FILES
    with tarfile.open(fileobj=out, mode="w") as archive:
        for count in range(FILES):
            info = tarfile.TarInfo(f"opt/layer{number}/d{count % 53}/f{count}")
            info.size = each // 2 + (count * 7919) % max(1, each)
            start = (count * 104729) % (len(noise) - 2 * each)
            random = info.size // 2
            archive.addfile(info, io.BytesIO(noise[start : start + random] + b"y" * (info.size - random)))
    return out.getvalue()


def made(megabytes: int) -> registries.Made:
    return registries.image([layer(one, (megabytes << 20) // LAYERS) for one in range(LAYERS)])


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


class Peak:
    """The highest resident set of an engine's daemon since the last look (proc(5), clear_refs 5)."""

    def __init__(self, engine: Engine) -> None:
        assert engine.process is not None
        self._pid = engine.process.pid
        self.reset()

    def reset(self) -> None:
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")

    def megabytes(self) -> float:
        lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        found = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
        self.reset()
        return found / 1024


def alone(*pids: int) -> None:
    """Before everybody else's processes, those of the same session together."""
    for pid in pids:
        Path(f"/proc/{pid}/autogroup").write_text("-19")


def pull(engine: Engine, name: str) -> float:
    return seconds(lambda: engine.docker("pull", "-q", name))


def push(engine: Engine, tmp: Path, name: str, first: bool) -> float:
    with registries.registry(tmp) as empty:
        if first:
            alone(empty.process.pid)
        target = f"{empty.host}/bench/pushed:1"
        engine.docker("tag", name, target)
        taken = seconds(lambda: engine.docker("push", "-q", target))
        engine.docker("rmi", target)
    return taken


def again(engine: Engine, name: str) -> float:
    return seconds(lambda: [engine.docker("pull", "-q", name) for _ in range(10)])


def requests(one: Registry, work: Callable[[], object]) -> int:
    """Lines that the registry's access log gets meanwhile."""
    before = one.log.read_bytes().count(b'"GET ') + one.log.read_bytes().count(b'"HEAD ')
    work()
    time.sleep(0.2)
    return one.log.read_bytes().count(b'"GET ') + one.log.read_bytes().count(b'"HEAD ') - before


def told(case: str, pairs: list[tuple[float, float]], more: str = "") -> None:
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"{case}: {mine:.2f} s, dockerd {theirs:.2f} s, ratio {ratio:.2f}{more}", flush=True)


def one_layer(engine: Engine, tmp: Path, megabytes: int, peak: Peak) -> None:
    """One layer of the whole size, imported and loaded: does the memory follow the size?"""
    plain = tmp / "one.tar"
    with tarfile.open(plain, "w") as archive:
        path = tmp / "one.bin"
        with path.open("wb") as file:
            noise = os.urandom(1 << 20)
            for _ in range(megabytes):
                file.write(noise)
        archive.add(path, "one.bin")
        path.unlink()
    engine.docker("import", str(plain), "one:1")
    found = [f"import {peak.megabytes():.0f} MiB"]
    packed = tmp / "one.tar.gz"
    with plain.open("rb") as source, gzip.open(packed, "wb", 1) as target:
        while piece := source.read(1 << 20):
            target.write(piece)
    plain.unlink()
    engine.docker("rmi", "one:1")
    engine.docker("import", str(packed), "one:1")
    packed.unlink()
    found.append(f"import of gzip {peak.megabytes():.0f} MiB")
    saved = tmp / "saved.tar"
    engine.docker("save", "-o", str(saved), "one:1")
    found.append(f"save {peak.megabytes():.0f} MiB")
    engine.docker("rmi", "one:1")
    engine.docker("load", "-q", "-i", str(saved))
    found.append(f"load {peak.megabytes():.0f} MiB")
    saved.unlink()
    print(f"memory, one layer of {megabytes} MB: {', '.join(found)}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("cases", nargs="*", default=["pull", "pull-again", "push", "memory"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-registry-") as name:
        tmp = Path(name)
        with registries.registry(tmp) as one:
            registries.push(one, "bench/eight:1", made(given.size))
            with engines.onggi(tmp, "--bridge", "none") as ours, engines.dockerd(tmp) as peer:
                if given.alone:
                    assert ours.process is not None and peer.process is not None
                    alone(os.getpid(), one.process.pid, ours.process.pid, peer.process.pid)
                run(ours, peer, one, tmp, given)


def run(ours: Engine, peer: Engine, one: Registry, tmp: Path, given: argparse.Namespace) -> None:
    image = f"{one.host}/bench/eight:1"
    peak = Peak(ours)
    pairs = []
    for _ in range(given.rounds if "pull" in given.cases else 1):
        times = []
        for engine in (ours, peer):
            if engine.docker("images", "-q", image).strip():
                engine.docker("rmi", image)
            times.append(pull(engine, image))
        pairs.append((times[0], times[1]))
    told("pull", pairs, f", peak {peak.megabytes():.0f} MiB")
    if "pull-again" in given.cases:
        told("pull-again x 10", [(again(ours, image), again(peer, image)) for _ in range(given.rounds)])
        counts = [requests(one, lambda e=engine: pull(e, image)) for engine in (ours, peer)]  # type: ignore[misc]
        print(f"requests of one: {counts[0]}, dockerd {counts[1]}; peak {peak.megabytes():.0f} MiB")
    if "push" in given.cases:
        pushes = [
            (push(ours, tmp, image, given.alone), push(peer, tmp, image, given.alone))
            for _ in range(given.rounds)
        ]
        told("push", pushes, f", peak {peak.megabytes():.0f} MiB")
    if "memory" in given.cases:
        for engine in (ours, peer):
            engine.docker("rmi", image)
        one_layer(ours, tmp, given.size, peak)


if __name__ == "__main__":
    main()
