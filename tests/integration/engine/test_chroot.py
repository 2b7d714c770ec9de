"""An engine that was started in a chroot: containers and execs stand in their own root, not in the host's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import engines

pytestmark = pytest.mark.root


def test_exec_in_a_chrooted_engine_sees_the_container(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    root, exec_root = tmp_path / "root", tmp_path / "run"
    daemon = (
        f"{engines.ONGGI} daemon --data-root {root} --exec-root {exec_root} -H unix://{exec_root}/engine.sock"
    )
    script = f"mount --rbind / {place} && exec chroot {place} {daemon}"
    engine = engines.Engine("onggi", root, exec_root, ["unshare", "-m", "sh", "-c", script])
    engine.start()
    try:
        engines.import_busybox(engine)
        cid = engine.docker("run", "-d", "--network", "none", engines.BUSYBOX, "sleep", "1000").strip()
        assert engine.docker("exec", cid, "cat", "/proc/1/comm") == "sleep\n"
        ways = (("exec", cid), ("run", "--rm", engines.BUSYBOX))
        roots = [engine.docker(*way, "ls", "/") for way in ways]
        assert roots[0] == roots[1]
        assert "data" in roots[0].split() and "usr" not in roots[0].split()
        pid = engine.api("GET", f"/containers/{cid}/json")["State"]["Pid"]
        mounted = Path(f"/proc/{pid}/mountinfo").read_text()
        assert str(place) not in mounted, "the host's tree is still in the container's mount namespace"
    finally:
        engines.end(engine)
