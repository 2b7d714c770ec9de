"""export, import, clone, rename: a volume as a whole."""

from __future__ import annotations

import io
import tarfile

import pytest

from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root]
WRITE = (
    "mkdir -p /v/a; echo text > /v/a/f; ln /v/a/f /v/a/same; ln -s f /v/a/link;"
    "chown -R 7:8 /v; chmod 4750 /v/a/f; chmod 711 /v; truncate -s 1M /v/sparse"
)
SHOW = "cd /v; stat -c '%n %u:%g %a %h %s' . a a/f a/same sparse; readlink a/link; cat a/f"


def run(engine: Engine, name: str, command: str) -> str:
    volume = f"{name}:/v"
    return engine.onggi("run", "--rm", "--network", "none", "-v", volume, BUSYBOX, "sh", "-c", command)


def fails(engine: Engine, *words: str, stdin: bytes = b"") -> str:
    done = engine.run("onggi", "volume", *words, stdin=stdin, check=False)
    assert done.returncode != 0
    return done.stderr


def archive(name: str, **facts: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        for key, value in facts.items():
            setattr(info, key, value)
        tar.addfile(info)
    return out.getvalue()


def test_clone_export_and_import_keep_everything(engine: Engine) -> None:
    run(engine, "first", WRITE)
    shown = run(engine, "first", SHOW)
    assert "4750 2" in shown
    assert engine.onggi("volume", "clone", "first", "second") == "second\n"
    assert run(engine, "second", SHOW) == shown
    saved = engine.request("GET", "/volumes/first/export")[1]
    assert engine.onggi("volume", "import", "third", "-", stdin=saved) == "third\n"
    assert run(engine, "third", SHOW) == shown
    run(engine, "second", "echo other > /v/a/f")
    assert run(engine, "first", SHOW) == shown  # shared blocks or not, they are two
    engine.onggi("volume", "rm", "first", "second", "third")


def test_what_fails_leaves_no_volume(engine: Engine) -> None:
    cut = archive("file", size=0)[:300]
    assert "rchive" in fails(engine, "import", "half", "-", stdin=cut)
    assert "no such volume" in fails(engine, "clone", "nobody", "half")
    assert engine.onggi("volume", "ls", "-q", "-f", "name=half") == ""
    assert "half" not in [path.name for path in (engine.root / "volumes").iterdir()]


def test_names(engine: Engine) -> None:
    for name in ("one", "two"):
        engine.onggi("volume", "create", name)
    for words in (("clone", "one", "two"), ("rename", "one", "two"), ("import", "two", "-")):
        assert "A volume named two already exists" in fails(engine, *words, stdin=archive("x"))
    for words in (("clone", "one", "../x"), ("rename", "one", "a/b"), ("import", "..", "-")):
        assert "invalid characters" in fails(engine, *words, stdin=archive("x"))
    engine.onggi("create", "--name", "user", "--network", "none", "-v", "one:/v", BUSYBOX)
    assert "rename one: volume is in use" in fails(engine, "rename", "one", "three")
    engine.onggi("rm", "user")
    run(engine, "one", "echo kept > /v/f")
    engine.onggi("volume", "rename", "one", "three")
    assert run(engine, "three", "cat /v/f") == "kept\n"
    assert "no such volume" in fails(engine, "inspect", "one").lower()
    engine.onggi("volume", "rm", "two", "three")


def test_a_hostile_archive_stays_inside(engine: Engine) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        link = tarfile.TarInfo("out")
        link.type, link.linkname = tarfile.SYMTYPE, str(engine.root)
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("out/escaped"))
        tar.addfile(tarfile.TarInfo("../escaped"))
    engine.run("onggi", "volume", "import", "hostile", "-", stdin=out.getvalue(), check=False)
    assert not list(engine.root.glob("escaped")) and not list(engine.root.glob("volumes/*/escaped"))
    engine.onggi("volume", "rm", "-f", "hostile")


def test_only_volumes_of_a_cluster_are_updated(engine: Engine) -> None:
    engine.docker("volume", "create", "plain")
    for client in ("docker", "onggi"):
        done = engine.run(client, "volume", "update", "--availability", "drain", "plain", check=False)
        assert done.returncode == 1 and "can only update cluster volumes" in done.stderr, done.stderr
    engine.docker("volume", "rm", "plain")
