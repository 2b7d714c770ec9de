"""Images in, side by side with dockerd, and where their bytes lie: `python -m tests.bench.images`.

import, load-gz     6,000 files, 200 MB, half of it compressible; pairs A B A B, medians of the ratios
disk                the same ten images in both: one real base, five with a shared second layer, one own each
unpack              our unpacker against tar -x, on tmpfs and on the disk, in microseconds a file
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests import engines, registries
from tests.bench.registry import alone
from tests.engines import Engine

FILES = 6000
OWN = ("perl", "doc", "locale", "man", "zoneinfo", "mime", "info", "bash-completion", "vim", "i18n")
BASE, SECOND = "/usr/lib/python3", "/usr/lib/git-core"
UNPACK = """
import os, sys
sys.path[1:1] = [{source!r}]
from onggi.images.apply import apply
fd = os.open(sys.argv[2], os.O_RDONLY)
apply(open(sys.argv[1], "rb", buffering=0), fd, whiteouts="overlay")
"""


def big(path: Path) -> None:
    import io

    noise = os.urandom(1 << 20)
    with tarfile.open(path, "w") as archive:
        for number in range(FILES):
            size = (number * 7919) % 65536 + 64
            start = (number * 104729) % (len(noise) - 65600)
            info = tarfile.TarInfo(f"usr/lib/d{number % 97}/f{number}")
            info.size = size
            archive.addfile(info, io.BytesIO(noise[start : start + size // 2] + b"x" * (size - size // 2)))


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def import_(engine: Engine, tmp: Path) -> float:
    taken = seconds(lambda: engine.docker("import", str(tmp / "big.tar"), "big:1"))
    engine.docker("rmi", "big:1")
    return taken


def load_gz(engine: Engine, tmp: Path) -> float:
    archive = tmp / f"{engine.kind}.tar.gz"
    if not archive.exists():
        engine.docker("import", str(tmp / "big.tar"), "big:1")
        engine.docker("save", "-o", str(archive.with_suffix("")), "big:1")
        subprocess.run(["gzip", "-f", str(archive.with_suffix(""))], check=True)
        engine.docker("rmi", "big:1")
    taken = seconds(lambda: engine.docker("load", "-q", "-i", str(archive)))
    engine.docker("rmi", "big:1")
    return taken


def used(engine: Engine) -> float:
    """MB of an engine's root on the disk, once what was removed is gone."""
    while any((engine.root / "trash").glob("*")):
        time.sleep(0.1)
    os.sync()
    done = subprocess.run(["du", "-sxk", str(engine.root)], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0]) / 1024


def ten_images(maker: Engine, tmp: Path) -> list[Path]:
    """Archives of ten images, made by one engine's commits so that both load the same bytes."""
    archives = []
    for number, own in enumerate(OWN):
        image = ""
        for layer in (BASE, *([SECOND] if number % 2 else []), f"/usr/share/{own}"):
            name = f"{image or 'ten'}-{os.path.basename(layer)}"
            if not maker.docker("images", "-q", name).strip():
                add_layer(maker, tmp / "layer.tar", layer, image, name)
            image = name
        archives.append(tmp / f"ten-{number}.tar")
        maker.docker("save", "-o", str(archives[-1]), image)
    return archives


def add_layer(maker: Engine, packed: Path, layer: str, below: str, name: str) -> None:
    subprocess.run(["tar", "-C", "/", "-cf", str(packed), layer.strip("/")], check=True)
    if not below:
        maker.docker("import", str(packed), name)
        return
    made = maker.docker("create", below, "x").strip()
    maker.run("docker", "cp", "-a", "-", f"{made}:/", stdin=packed.read_bytes())
    maker.docker("commit", made, name)
    maker.docker("rm", made)


def disk(ours: Engine, peer: Engine, tmp: Path) -> None:
    """dockerd 20.10 reads no OCI archive; what it keeps of a layer does not depend on how that was packed."""
    archives = ten_images(peer, tmp)
    empty(peer)
    theirs = loaded(peer, archives)
    plain = loaded(ours, archives)
    empty(ours)
    repacks = [repacked(archive) for archive in archives]
    packed = loaded(ours, repacks)
    empty(ours)
    with dropping(tmp / "loaded") as engine:
        recipes = loaded(engine, archives)
    with dropping(tmp / "pulled") as engine:
        dropped = pulled(engine, repacks, tmp)
    print(f"disk: dockerd {theirs:.0f} MB, ours:")
    for form, size in (
        ("docker save's plain layers", plain),
        ("a registry's gzip layers", packed),
        ("docker save's plain layers, with drop-packed-layers", recipes),
        ("a registry's gzip layers, with drop-packed-layers", dropped),
    ):
        print(f"  from {form}: {size:.0f} MB, {size / theirs:.2f}")


def loaded(engine: Engine, archives: list[Path]) -> float:
    """MB that the archives take once they are loaded."""
    before = used(engine)
    for archive in archives:
        engine.docker("load", "-q", "-i", str(archive))
    return used(engine) - before


@contextlib.contextmanager
def dropping(place: Path) -> Iterator[Engine]:
    """An engine with drop-packed-layers."""
    place.mkdir()
    with engines.onggi(place, "--bridge", "none", "--drop-packed-layers") as engine:
        yield engine


def pulled(engine: Engine, archives: list[Path], tmp: Path) -> float:
    """MB that the images take when an engine pulls them."""
    with registries.registry(tmp) as one:
        before = used(engine)
        for archive in archives:
            name = archive.name.removesuffix(".oci.tar")
            target = f"{one.host}/{name}:1"
            policy = ["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false"]
            subprocess.run([*policy, f"oci-archive:{archive}:{name}:1", f"docker://{target}"], check=True)
            engine.docker("pull", "-q", target)
        return used(engine) - before


def empty(engine: Engine) -> None:
    engine.docker("image", "prune", "-af")


def repacked(archive: Path) -> Path:
    """The same image as a registry would give it: an OCI archive whose layers are gzip."""
    packed = archive.with_suffix(".oci.tar")
    source, target = f"docker-archive:{archive}", f"oci-archive:{packed}"
    policy = ["skopeo", "--insecure-policy", "copy", "-q"]
    subprocess.run([*policy, source, f"{target}:{archive.stem}:1"], check=True)
    return packed


def unpack(tmp: Path) -> None:
    source = str(engines.TOP / "src")
    site = next(str(path) for path in (engines.TOP / ".venv/lib").glob("python3*/site-packages"))
    script = UNPACK.format(source=source).replace("[1:1] = [", f"[1:1] = [{site!r}, ")
    python = str(engines.TOP / ".venv/bin/python")
    for place in ("/dev/shm", str(tmp)):
        ours, tars, nothing = [], [], []
        for _ in range(7):
            for times, command in (
                (ours, [python, "-c", script, str(tmp / "big.tar")]),
                (tars, ["tar", "-xf", str(tmp / "big.tar"), "-C"]),
                (nothing, [python, "-c", script.partition("apply(open")[0]]),
            ):
                with tempfile.TemporaryDirectory(dir=place) as target:
                    extra = [str(tmp / "big.tar")] if times is nothing else []
                    times.append(
                        seconds(lambda c=command, e=extra, t=target: subprocess.run([*c, *e, t], check=True))
                    )
        bare = statistics.median(nothing)
        mine, theirs = statistics.median(ours) - bare, statistics.median(tars)
        each = 1e6 / FILES
        print(
            f"unpack in {place}: {mine * each:.0f} us a file, tar -x {theirs * each:.0f}, {mine / theirs:.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", action="store_true", help="as in registry.py")
    parser.add_argument("cases", nargs="*", default=["import", "load-gz", "disk", "unpack"])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-images-") as name:
        tmp = Path(name)
        big(tmp / "big.tar")
        if "unpack" in given.cases:
            unpack(tmp)
        with engines.onggi(tmp) as ours, engines.dockerd(tmp) as peer:
            if given.alone:
                assert ours.process is not None and peer.process is not None
                alone(os.getpid(), ours.process.pid, peer.process.pid)
            for case, work in (("import", import_), ("load-gz", load_gz)):
                if case in given.cases:
                    pairs = [(work(ours, tmp), work(peer, tmp)) for _ in range(given.rounds)]
                    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
                    ratio = statistics.median(a / b for a, b in pairs)
                    print(f"{case}: {mine:.2f} s, dockerd {theirs:.2f} s, ratio {ratio:.2f}", flush=True)
            if "disk" in given.cases:
                disk(ours, peer, tmp)


if __name__ == "__main__":
    main()
