"""Compiling is pure: a document has one plan (golden file), and what is wrong is named by its path."""

from __future__ import annotations

import marshal
import os
from pathlib import Path
from typing import Any

import pytest

from onggi.errors import InvalidParameter
from onggi.runtime import compile
from onggi.spawn import plan
from onggi.spawn.plan import describe
from tests.integration.spawn.busybox_containers import config

GOLDEN = Path(__file__).parents[1] / "golden" / "plan-default.txt"


def document() -> dict[str, Any]:
    made = config(Path("/containers/x/rootfs"), "sh", "-c", "true")
    made["mounts"].append(
        {"destination": "/data", "type": "bind", "source": "/srv", "options": ["rbind", "rro"]}
    )
    made["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}]
    made["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    return made


def compiled(made: dict[str, Any]) -> dict[str, Any]:
    return compile.container(made, container_id="x", bundle_dir="/containers/x")


def test_the_plan_of_a_default_container() -> None:
    text = describe(compiled(document()))
    if os.environ.get("ONGGI_GOLDEN") == "write":
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_a_mount_label_is_an_option_of_what_takes_one() -> None:
    made = document()
    made["linux"]["mountLabel"] = "system_u:object_r:container_file_t:s0:c1,c2"
    text = describe(compiled(made))
    labelled = [
        line for line in text.splitlines() if 'context="system_u:object_r:container_file_t:s0:c1,c2"' in line
    ]
    assert labelled and all("tmpfs" in line or "devpts" in line for line in labelled)


def test_a_plan_is_marshalled() -> None:
    plan = compiled(document())
    assert marshal.loads(marshal.dumps(plan)) == plan


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["process", "args"], [], "process.args: [] must not be empty"),
        (["process", "cwd"], "etc", "process.cwd: 'etc' is not an absolute path"),
        (["process", "terminal"], "yes", "process.terminal: 'yes' is not true or false"),
        (["process", "oomScoreAdj"], 2000, "process.oomScoreAdj: 2000 is not from -1000 to 1000"),
        (
            ["linux", "namespaces"],
            [{"type": "x"}],
            "linux.namespaces[0].type: 'x' is not a kind of namespace",
        ),
        (["linux", "sysctl"], {"vm.swappiness": "1"}, "linux.sysctl.vm.swappiness: '1' is not in a separate"),
        (["linux", "sysctl"], {"net/../kernel/panic": "1"}, "is not the name of a sysctl"),
        (["linux", "mountLabel"], 'a",uid=0', "linux.mountLabel: 'a\",uid=0' has a quotation mark"),
        (
            ["linux", "devices"],
            [{"path": "/dev/x", "type": "c", "major": 1 << 40, "minor": 1}],
            "has a number that the kernel does not have",
        ),
        (["linux", "rootfsPropagation"], "all", "linux.rootfsPropagation: 'all' is not a kind"),
        (
            ["linux", "intelRdt"],
            {"closID": "x"},
            "linux.intelRdt: resource director technology is not supported",
        ),
        (["linux", "timeOffsets"], {"boottime": {"secs": 1}}, "needs a new time namespace"),
        (["linux", "uidMappings"], [{"containerID": 0, "hostID": 1, "size": 1}], "needs a user namespace"),
        (["mounts"], [{"destination": "/x", "type": "bind"}], "mounts[0].source: '' is not a path"),
        (["hooks"], {"prestart": [{"path": "x"}]}, "hooks.prestart[0].path: 'x' is not an absolute path"),
        (["root"], {}, "root.path: '' is not a path"),
    ],
)
def test_what_is_wrong_is_named(keys: list[str], value: Any, message: str) -> None:
    made = document()
    place = made
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    with pytest.raises(InvalidParameter) as wrong:
        compiled(made)
    assert message in wrong.value.message


@pytest.mark.parametrize("options", [None, []])
def test_a_mount_without_options(options: list[str] | None) -> None:
    """Go's programs write an empty list as null."""
    made = document()
    made["mounts"].append({"destination": "/more", "type": "tmpfs", "source": "tmpfs", "options": options})
    assert "/more" in describe(compiled(made))


@pytest.mark.parametrize(
    ("data", "served"),
    [
        ("lowerdir=/a:/b,fuse-overlayfs=/usr/bin/fuse-overlayfs", True),
        ("lowerdir=/a:/b,fuse-overlayfs=/usr/bin/fuse-overlayfs,X-mount.subdir=d", True),
        ("lowerdir=/a:/b,index=off", False),
        ("lowerdir=/a\\,fuse-overlayfs=/evil,index=off", False),
        ("lowerdir=/a,index=off,X-mount.subdir=b,fuse-overlayfs=/evil", False),
    ],
)
def test_what_a_program_serves_is_made_by_the_parent(data: str, served: bool) -> None:
    """A path of a user's that looks like the option is a path."""
    assert plan.made_by_program(plan.mount("overlay", "/in", "overlay", 0, data)) is served
    made = document()
    entry = {"destination": "/in", "type": "overlay", "source": "overlay", "options": data.split(",")}
    made["mounts"].append(entry)
    if "\\" not in data and "/evil" not in data:
        host = compiled(made)["host"]
        assert [step[0] for step in host if step[0] == "layered"] == ["layered"] * served
