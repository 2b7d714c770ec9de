"""`cp` onto a file that is a mount, in all four of clients and engines: refused, and the mount stays.

Unlinking a name takes away what is mounted on it in other mount namespaces, and a container's is one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.pairs import Pair
from tests.engines import BUSYBOX

pytestmark = [pytest.mark.root, pytest.mark.peer]


@pytest.mark.host_root  # it binds files of root
def test_a_mounted_file_is_not_replaced(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "bound").write_text("bound")
    (tmp_path / "new").write_text("new")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/kept").write_text("kept")
    engine = pair.engine
    binds = ("-v", f"{tmp_path}/bound:/etc/bound", "-v", f"{tmp_path}/data:/dir/data")
    cid = engine.docker("run", "-d", "--network", "none", *binds, BUSYBOX, "sleep", "1000").strip()
    for running in (True, False):
        if not running:
            engine.docker("stop", "-t", "0", cid)
        done = engine.run(pair.client, "cp", str(tmp_path / "new"), f"{cid}:/etc/bound", check=False)
        assert done.returncode == 1
        assert "unlinkat /etc/bound: device or resource busy" in done.stderr
        if running:
            assert engine.docker("exec", cid, "cat", "/etc/bound") == "bound"
    engine.docker("start", cid)
    engine.run(pair.client, "cp", str(tmp_path / "new"), f"{cid}:/dir/data/added")
    assert engine.docker("exec", cid, "cat", "/etc/bound", "/dir/data/added") == "boundnew"
    assert (tmp_path / "bound").read_text() == "bound" and (tmp_path / "data/added").read_text() == "new"
    assert (tmp_path / "data/kept").read_text() == "kept"
