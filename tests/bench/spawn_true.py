"""Time from launch to the exit of `true`: six namespaces, overlay, Docker's default mounts, masks, pivot.

    PYTHONPATH=src:. .venv/bin/python tests/bench/spawn_true.py [runs] [--cgroups]

The budget is 6.5 ms without cgroups, 11 ms with (DESIGN.md, decision 2).
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
import time

from onggi.kernel import processes
from onggi.runtime import cgroups, compile
from onggi.spawn.launch import finish, launch
from onggi.spawn.plan import mount
from tests.integration.spawn.busybox_containers import config


def main(runs: int, *, with_cgroups: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="onggi-bench-") as base:
        for name in ("lower/bin", "upper", "work", "root"):
            os.makedirs(f"{base}/{name}")
        for name in ("lower/proc", "lower/dev", "lower/sys"):
            os.makedirs(f"{base}/{name}")
        shutil.copy("/bin/busybox", f"{base}/lower/bin/true")
        document = config(base, "true")  # type: ignore[arg-type]
        document["root"]["path"] = f"{base}/root"
        data = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
        layout = cgroups.detect() if with_cgroups else None
        began = time.perf_counter()
        plan = compile.container(
            document,
            container_id="bench",
            bundle_dir=base,
            root_mounts=[mount("overlay", "/", "overlay", 0, data)],
            layout=layout,
            cgroups_path="/onggi-bench",
        )
        print(f"compile  {(time.perf_counter() - began) * 1e3:6.2f} ms")
        gc.collect()
        gc.freeze()
        null = os.open("/dev/null", os.O_RDWR)
        started, ended = [], []
        for _ in range(runs):
            began = time.perf_counter()
            launched = launch(plan, null, null, null)
            started.append(time.perf_counter() - began)
            assert processes.wait_pidfd(launched.pidfd) == 0
            ended.append(time.perf_counter() - began)
            os.close(launched.pidfd)
            assert finish(plan, launched.pid) == []
        for name, times in (("execve", started), ("exit", ended)):
            times.sort()
            print(f"{name:8} {times[len(times) // 2] * 1e3:6.2f} ms median, {times[0] * 1e3:.2f} best")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    main(numbers[0] if numbers else 50, with_cgroups="--cgroups" in sys.argv)
