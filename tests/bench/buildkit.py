"""Our engine and buildkitd on a parallel build of four stages, pair by pair in one run.

    scripts/go-client buildkitd; scripts/go-client buildctl
    python -m tests.bench.buildkit [--rounds 7] [--alone] [four context]

Four stages of three RUN steps each, which compute, write and pack files; a fifth copies from all of them.
Nothing is cached. Both take the same base from one registry on loopback, run steps on the host's network and
keep the image, its layers not compressed: `onggi build --no-cache`, `buildctl build --no-cache --output
type=image`, each a whole client process. buildkitd has a root of its own, overlayfs snapshots and runc; built
without cgo it has no seccomp filter, ours has.

context: buildx builds 50,000 files, 1 GB, again with nothing changed, on either engine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests import buildx, engines
from tests.bench import builds
from tests.bench.__main__ import pairs, timed
from tests.engines import Engine
from tests.registries import Registry, registry

CLIENTS = Path(os.environ.get("ONGGI_CLIENTS", "/var/cache/onggi/clients"))
BUILDKITD, BUILDCTL = CLIENTS / "buildkitd-v0.22.0/buildkitd", CLIENTS / "buildctl-v0.22.0/buildctl"
STAGES = ("compute", "write", "pack", "search")
STEPS = {
    "compute": (
        "head -c 8000000 /dev/zero | sha256sum > /sum",
        "head -c 8000000 /bin/busybox | md5sum > /md5",
    ),
    "write": (
        "mkdir /out && i=0; while [ $i -lt 400 ]; do echo $i > /out/$i; i=$((i+1)); done",
        "head -c 8000000 /dev/urandom > /out/large",
    ),
    "pack": ("tar -cf /all.tar /bin", "head -c 1000000 /bin/busybox | gzip -1 > /packed.gz"),
    "search": ("grep -c e /bin/busybox > /count; true", "find / -xdev -type l | sort > /links"),
}


def dockerfile(base: str) -> str:
    lines = []
    for stage in STAGES:
        lines += [f"FROM {base} AS {stage}", "COPY input /input"]
        lines += [f"RUN {step}" for step in STEPS[stage]]
        lines += [f"RUN md5sum /input > /result-{stage}"]
    lines += [f"FROM {base}", *(f"COPY --from={stage} /result-{stage} /" for stage in STAGES)]
    return "\n".join([*lines, "RUN cat /result-* > /results", ""])


@contextlib.contextmanager
def buildkitd(tmp: Path, host: str) -> Iterator[str]:
    """A daemon of its own; the address of its socket."""
    address = f"unix://{tmp}/buildkitd.sock"
    (tmp / "buildkitd.toml").write_text(f'[registry."{host}"]\n  http = true\n')
    command = [
        str(BUILDKITD), "--config", str(tmp / "buildkitd.toml"), "--root", str(tmp / "buildkit"),
        "--addr", address, "--oci-worker-net", "host", "--oci-worker-snapshotter", "overlayfs",
        "--containerd-worker=false", "--oci-worker-binary", shutil.which("runc") or "/usr/sbin/runc",
    ]  # fmt: skip
    with (tmp / "buildkitd.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        for _ in range(300):
            if not subprocess.run(
                [BUILDCTL, "--addr", address, "debug", "workers"], capture_output=True
            ).returncode:
                break
            time.sleep(0.1)
        else:
            raise RuntimeError(f"buildkitd did not start: {(tmp / 'buildkitd.log').read_text()[-2000:]}")
        yield address
    finally:
        process.terminate()
        process.wait(60)
        for left in sorted(Path("/sys/fs/cgroup").glob("*/buildkit/**/"), reverse=True):
            with contextlib.suppress(OSError):
                left.rmdir()


def first(engine: Engine) -> None:
    """Processes of both engines' steps before others: by their cgroups, which nice does not reach over."""
    for name in (f"onggi-{engines.own_suffix(engine)}", "buildkit"):
        for hierarchy, weight in (("cpu", "cpu.shares"), ("unified", "cpu.weight"), (".", "cpu.weight")):
            path = Path("/sys/fs/cgroup", hierarchy, name, weight)
            if path.exists():
                path.write_text("100000" if weight == "cpu.shares" else "10000")


def run(command: list[str], env: dict[str, str]) -> float:
    def work() -> None:
        done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr[-1500:]}")

    return timed(work)


def ours(engine: Engine, context: Path) -> float:
    command = [
        str(engines.ONGGI),
        "build",
        "-q",
        "--no-cache",
        "--network",
        "host",
        "-t",
        "four:1",
        str(context),
    ]
    return run(command, {"DOCKER_HOST": engine.host})


def theirs(address: str, context: Path) -> float:
    command = [
        str(BUILDCTL), "--addr", address, "build", "--no-cache", "--progress", "plain",
        "--frontend", "dockerfile.v0", "--local", f"context={context}", "--local", f"dockerfile={context}",
        "--output", "type=image,name=four:1,compression=uncompressed",
    ]  # fmt: skip
    return run(command, {})


def buildx_build(context: Path, *words: str, host: str = "") -> float:
    config = context.parent / "config"
    config.mkdir(exist_ok=True)
    env = {"HOME": str(config), "DOCKER_CONFIG": str(config), "DOCKER_HOST": host}
    return run([str(buildx.BUILDX), "build", "-q", *words, str(context)], env)


def contexts(engine: Engine, address: str, tmp: Path, base: str, rounds: int) -> tuple[float, float, float]:
    """buildx with nothing changed: on ours, on buildkitd, the ratio."""
    context = builds.large(tmp / "large")
    (context / "Dockerfile").write_text(f"FROM {base}\nCOPY . /all/\n")
    env = {"HOME": str(tmp / "config"), "DOCKER_CONFIG": str(tmp / "config")}
    run([str(buildx.BUILDX), "create", "--driver", "remote", "--name", "peer", address], env)
    return pairs(
        rounds,
        lambda: buildx_build(context, "-t", "large:1", host=engine.host),
        lambda: buildx_build(context, "--builder", "peer", "--output", "type=cacheonly"),
    )


def base(engine: Engine, served: Registry) -> str:
    """busybox in the registry, and no longer here."""
    name = f"{served.host}/bench/busybox:1"
    engines.import_busybox(engine)
    engine.docker("tag", engines.BUSYBOX, name)
    engine.docker("push", name)
    engine.docker("rmi", name, engines.BUSYBOX)
    return name


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cases", nargs="*", help="four, context; default: four")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--alone", action="store_true", help="before other work of this machine")
    args = parser.parse_args()
    missing = [str(path) for path in (BUILDKITD, BUILDCTL) if not path.exists()]
    if missing:
        print(f"{', '.join(missing)}: missing: run scripts/go-client buildkitd, buildctl", file=sys.stderr)
        return 1
    if args.alone:
        os.nice(-15)
    tmp = Path(tempfile.mkdtemp(prefix="onggi-bench-"))
    try:
        with engines.onggi(tmp) as engine, registry(tmp) as served, buildkitd(tmp, served.host) as address:
            context = tmp / "context"
            context.mkdir()
            (context / "input").write_bytes(os.urandom(1 << 20))
            image = base(engine, served)
            (context / "Dockerfile").write_text(dockerfile(image))
            print("| case | onggi | buildkitd | ratio | goal |\n|---|---:|---:|---:|---|", flush=True)
            if args.alone:
                ours(engine, context), theirs(address, context)
                first(engine)
            if not args.cases or "four" in args.cases:
                a, b, ratio = pairs(
                    args.rounds, lambda: ours(engine, context), lambda: theirs(address, context)
                )
                verdict = "0.7: reached" if ratio <= 0.7 else "0.7: missed"
                print(f"| four stages | {a:.2f} s | {b:.2f} s | {ratio:.2f} | {verdict} |", flush=True)
            if "context" in args.cases:
                a, b, ratio = contexts(engine, address, tmp, image, max(3, args.rounds // 2))
                print(
                    f"| 50,000 files again, by buildx | {a:.2f} s | {b:.2f} s | {ratio:.2f} | |", flush=True
                )
        return 0
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main())
