"""Names of runtimes, and what is told of their errors."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from onggi.engine import config, runtimes, start_errors
from onggi.engine.rootless import Rootless
from onggi.errors import InvalidParameter
from onggi.paths import Paths
from onggi.spawn.plan import StepFailed
from onggi.store import migrations
from onggi.store.database import Database


def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config.parse({"runtimes": {"mine": {"path": "/bin/true", "runtimeArgs": ["--x"]}}})
    paths = Paths("/r", "/x")
    assert runtimes.command(settings, "onggi", paths) == ()
    assert runtimes.command(settings, "mine", paths) == ("/bin/true", "--x", "--root", "/x/runtimes/mine")
    with pytest.raises(InvalidParameter, match="unknown or invalid runtime name: other"):
        runtimes.command(settings, "other", paths)
    monkeypatch.setenv("PATH", "/nowhere")
    assert runtimes.command(settings, "runc", paths) == ()


def test_a_rootless_engine_has_its_own_alone() -> None:
    user = Rootless(uid=1000, gid=1000, root="/r", exec_root="/x", config_file="")
    settings = config.parse({"runtimes": {"mine": {"path": "/bin/true"}}}, config.EngineConfig(rootless=user))
    assert runtimes.command(settings, "runc", Paths("/r", "/x")) == ()
    with pytest.raises(InvalidParameter, match="runtime mine: a rootless engine"):
        runtimes.command(settings, "mine", Paths("/r", "/x"))


@pytest.mark.parametrize(
    ("runtime", "text", "code", "end"),
    [
        ("crun", "executable file `x` not found in $PATH: No such file or directory", 127,
         'exec: "x": executable file not found in $PATH: unknown'),
        ("runc", 'runc create failed: exec: "x": executable file not found in $PATH', 127,
         'failed: runc create failed: exec: "x": executable file not found in $PATH: unknown'),
        ("crun", "open executable: Operation not permitted", 126, 'exec: "x": permission denied: unknown'),
        ("runsc", "fork/exec /no/runsc: no such file or directory", 127,
         "no such file or directory: unknown"),
        ("crun", "mount `y`: Operation not permitted", 125,
         "crun: mount `y`: Operation not permitted: unknown"),
    ],
)  # fmt: skip
def test_errors_in_dockers_words(runtime: str, text: str, code: int, end: str) -> None:
    failed = start_errors.start_failed(StepFailed("runtime", "create", 0, text), "x", "/", runtime)
    assert failed.exit_code == code
    assert failed.message.endswith(end)
    assert "OCI runtime create failed: " in failed.message


def test_containers_of_before_are_the_engines_own(tmp_path: Path) -> None:
    path = str(tmp_path / "old.db")
    step = migrations.STEPS.index(migrations.OWN_RUNTIME)
    old = sqlite3.connect(path, isolation_level=None)
    for number, text in enumerate(migrations.STEPS[:step], 1):
        old.executescript(f"{text}; PRAGMA user_version = {number}; PRAGMA application_id = 0x4F4E4747;")
    record = b'{"host_config":{"Runtime":"runc","Binds":["/a:/b"]},"config":{"Env":["A=\xc3\xa9"]}}'
    columns = "id, name, status, image_id, created_at, record"
    old.execute(f"INSERT INTO containers ({columns}) VALUES ('a', 'one', 'exited', 'i', 1, ?)", (record,))
    old.close()
    with Database(path) as database:
        found = database.one("SELECT record, typeof(record) FROM containers")
    assert found == (record.replace(b'"runc"', b'"onggi"'), "blob")
