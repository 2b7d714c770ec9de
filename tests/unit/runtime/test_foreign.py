"""The document for another OCI runtime: a pure function, and what it leaves to the launcher."""

from __future__ import annotations

from typing import Any

import pytest

from onggi.errors import InvalidParameter
from onggi.jsontext import loads
from onggi.runtime import cgroups, compile
from onggi.spawn import foreign as launcher
from onggi.spawn.plan import mount

RUNTIME = ("/usr/sbin/runc", "--root", "/run/x")
ROOT = mount("overlay", "/", "overlay", 0, "lowerdir=/a,upperdir=/b,workdir=/c")
LAYOUT = cgroups.Layout({}, "/sys/fs/cgroup", ("memory", "pids"))


def compiled(*mounts: dict[str, Any], **more: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(the plan, the document's mounts)."""
    linux = {"cgroupsPath": "/onggi/one", **more.pop("linux", {})}
    config = {
        "ociVersion": "1.2.0",
        "process": {"terminal": True},
        "root": {"path": "/rootfs"},
        "mounts": list(mounts),
        "linux": linux,
    }
    plan = compile.foreign(
        config, container_id="one", runtime=RUNTIME, state_dir="/run/x", place="/run/bundle",
        root_mounts=[ROOT], layout=LAYOUT, **more,
    )  # fmt: skip
    return plan, loads(plan["document"])["mounts"]


def bind(source: str, *options: str, **more: Any) -> dict[str, Any]:
    return {"destination": "/in", "type": "bind", "source": source, "options": ["rbind", *options], **more}


def test_what_the_specification_has_is_handed_on() -> None:
    given = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": []},
        bind("/x", "rprivate", "ro"),
    ]
    plan, mounts = compiled(*given)
    assert mounts == given
    document = loads(plan["document"])
    assert document["root"] == {"path": "/run/bundle/rootfs"}
    assert document["ociVersion"] == "1.0.2"
    assert plan["terminal"] is True
    assert plan["host"] == [("mkdir", "/run/x"), ("layered", "root-0", *ROOT)]
    assert plan["trees"] == [("root-0", "rootfs", False)]
    assert plan["undo"][0] == ("runtime", (*RUNTIME, "delete", "--force", "one"))
    assert ("rmdir", "/sys/fs/cgroup/onggi/one") in plan["undo"]
    assert not plan["child"]


@pytest.mark.parametrize(
    ("entry", "options", "read_only"),
    [
        (bind("/x", "rprivate", "rro"), ["rbind", "rprivate", "ro"], True),
        (bind("/x", "rshared"), ["rbind", "rshared"], False),
        (bind("/x", "rprivate", "X-mount.subdir=a/b"), ["rbind", "rprivate"], False),
        (
            bind("/x", "rprivate", uidMappings=[{"containerID": 0, "hostID": 5, "size": 1}],
                 gidMappings=[{"containerID": 0, "hostID": 5, "size": 1}]),
            ["rbind", "rprivate"],
            False,
        ),
        (
            {"destination": "/in", "type": "overlay", "source": "o", "options": ["ro", "lowerdir=/a:/b"]},
            ["rbind", "rprivate", "ro"],
            False,
        ),
    ],
)  # fmt: skip
def test_what_it_has_not_is_a_tree_in_the_bundle(entry: Any, options: list[str], read_only: bool) -> None:
    plan, mounts = compiled(entry)
    assert mounts == [
        {"destination": "/in", "type": "bind", "source": "/run/bundle/mounts/0", "options": options}
    ]
    assert plan["trees"][0] == ("mounts/0", "mounts/0", read_only)
    assert plan["host"][1][:2] in (("tree", "mounts/0"), ("layered", "mounts/0"))


def test_every_bind_of_a_user_namespace_is_a_tree() -> None:
    extents = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    _, mounts = compiled(bind("/x"), linux={"uidMappings": extents, "gidMappings": extents})
    assert mounts[0]["source"] == "/run/bundle/mounts/0"


def test_what_was_there_cannot_be_kept() -> None:
    with pytest.raises(InvalidParameter, match="/in: exclude needs the engine's own runtime"):
        compiled(bind("/x", "X-onggi.keep=below"))


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (b"", ""),
        (b'{"level":"warning","msg":"so"}\n{"level":"error","msg":"no"}\n', "no"),
        (b'{"level":"error","msg":"first"}{"level":"error","msg":"then"}', "first; then"),
        (b'{"level":"error","msg":"whole"}\n{"level":"error","ms', "whole"),
        (b"plain text\n[1]\n", ""),
    ],
)
def test_what_a_runtime_says(tmp_path: Any, log: bytes, said: str) -> None:
    (tmp_path / "log").write_bytes(log)
    assert launcher.said(str(tmp_path / "log")) == said
    assert launcher.said(str(tmp_path / "none")) == ""
