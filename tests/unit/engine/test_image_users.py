"""Whether what was found out of an image's accounts still holds for a container of it."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from onggi.engine import image_users


def pristine(upper: Path, stackable: bool = True, targets: tuple[str, ...] = ()) -> bool:
    snapshots = SimpleNamespace(stackable=stackable, tree=lambda key: str(upper))
    record: Any = SimpleNamespace(snapshot="x", mounts=[SimpleNamespace(target=t) for t in targets])
    engine: Any = SimpleNamespace(snapshots=snapshots)
    return image_users._etc_is_the_images(engine, record)


def test_what_a_run_leaves_in_etc_changes_no_account(tmp_path: Path) -> None:
    assert pristine(tmp_path)
    (tmp_path / "etc").mkdir()
    for name in ("hosts", "hostname", "resolv.conf"):
        (tmp_path / "etc" / name).touch()
    assert pristine(tmp_path)
    assert not pristine(tmp_path, stackable=False)
    assert not pristine(tmp_path, targets=("/etc/passwd",))


@pytest.mark.parametrize("name", ["passwd", "group"])
def test_accounts_of_its_own(tmp_path: Path, name: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / name).symlink_to("nowhere")
    assert not pristine(tmp_path)


def test_an_etc_that_hides_the_images(tmp_path: Path) -> None:
    (tmp_path / "etc").symlink_to("var")
    assert not pristine(tmp_path)
    (tmp_path / "etc").unlink()
    (tmp_path / "etc").mkdir()
    os.setxattr(tmp_path / "etc", "user.overlay.opaque", b"y")
    assert not pristine(tmp_path)
