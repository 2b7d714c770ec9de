"""Which files differ between two images, on each snapshotter."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tests import engines

pytestmark = [pytest.mark.root]


P = 0o644


def archive(*members: tuple[str, bytes | str | None, int]) -> bytes:
    """A tar of (name, content or target of a link or None for a directory, mode)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content, mode in members:
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = mode, 1_700_000_000
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


@pytest.mark.parametrize("driver", ["overlay", "native"])
def test_files_that_differ(tmp_path: Path, driver: str) -> None:
    with engines.onggi(tmp_path, "--storage-driver", driver) as engine:
        old = archive(
            ("same", b"same", P), ("grows", b"12", P), ("quiet", b"aaaa", P), ("mode", b"m", P),
            ("gone", None, 0o755), ("gone/inner", b"12345", P), ("link", "same", 0o777), ("kind", b"x", P),
        )  # fmt: skip
        new = archive(
            ("same", b"same", P), ("grows", b"1234", P), ("quiet", b"bbbb", P), ("mode", b"m", 0o600),
            ("link", "grows", 0o777), ("kind", None, 0o755), ("kind/of", b"y", P), ("caf\xe9", b"", P),
        )  # fmt: skip
        for name, data in (("old", old), ("new", new)):
            engine.api("POST", f"/images/create?fromSrc=-&repo={name}", data)
        said = engine.onggi("image", "diff", "old", "new").splitlines()
        assert said == [
            "A /caf\xe9 (0B)",
            "D /gone",
            "D /gone/inner (5B)",
            "C /grows (content, 2B -> 4B)",
            "C /kind (kind)",
            "A /kind/of (1B)",
            "C /link (content)",
            "C /mode (mode)",
            "C /quiet (content)",
        ]
        assert engine.onggi("image", "diff", "-q", "new", "old").splitlines()[0] == "D /caf\xe9"
        assert engine.onggi("image", "diff", "old", "old") == ""
        refused = engine.run("onggi", "image", "diff", "old", "none", check=False)
        assert refused.returncode == 1 and "No such image: none:latest" in refused.stderr
        assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def test_a_layer_more_and_a_whiteout(tmp_path: Path) -> None:
    with engines.onggi(tmp_path) as engine:
        engines.import_busybox(engine)
        image = engines.BUSYBOX
        change = "rm /bin/vi; echo x >/new; touch /bin/ls"
        engine.docker("run", "--name", "changer", "--network", "none", image, "sh", "-c", change)
        engine.docker("commit", "changer", "next")
        said = engine.onggi("image", "diff", "--quiet", image, "next").splitlines()
        assert "D /bin/vi" in said and "A /new" in said
        assert [line for line in said if line.startswith("C")] == []  # a time alone is no difference
