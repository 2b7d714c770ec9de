"""Limits as steps: what is written where, on layouts of all three kinds."""

from __future__ import annotations

from typing import Any

import pytest

from onggi.errors import InvalidParameter, Unavailable
from onggi.runtime import cgroups
from onggi.runtime.cgroups import devices
from onggi.runtime.cgroups.layout import Layout, checked

V1 = Layout(
    {name: f"/cg/{name}" for name in ("cpu", "cpuset", "memory", "devices", "freezer", "blkio", "pids")},
    None,
    (),
)
V2 = Layout({}, "/cg", ("cpuset", "cpu", "io", "memory", "hugetlb", "pids"))


def writes(layout: Layout, resources: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for step in cgroups.compile(layout, "/onggi/x", resources).host:
        if step[0] == "write" and "/devices." not in step[1] and not step[1].endswith("subtree_control"):
            found[step[1]] = step[2]
    return found


def test_v1() -> None:
    assert writes(
        V1,
        {
            "memory": {
                "limit": 1 << 26,
                "swap": 1 << 27,
                "reservation": 1 << 20,
                "swappiness": 10,
                "disableOOMKiller": True,
            },
            "cpu": {"shares": 512, "quota": 5000, "period": 10000, "cpus": "0-1"},
            "pids": {"limit": -1},
            "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}]},
        },
    ) == {
        "/cg/memory/onggi/x/memory.limit_in_bytes": str(1 << 26),
        "/cg/memory/onggi/x/memory.memsw.limit_in_bytes": str(1 << 27),
        "/cg/memory/onggi/x/memory.soft_limit_in_bytes": str(1 << 20),
        "/cg/memory/onggi/x/memory.swappiness": "10",
        "/cg/memory/onggi/x/memory.oom_control": "1",
        "/cg/cpu/onggi/x/cpu.shares": "512",
        "/cg/cpu/onggi/x/cpu.cfs_period_us": "10000",
        "/cg/cpu/onggi/x/cpu.cfs_quota_us": "5000",
        "/cg/cpuset/onggi/x/cpuset.cpus": "0-1",
        "/cg/pids/onggi/x/pids.max": "max",
        "/cg/blkio/onggi/x/blkio.throttle.read_bps_device": "8:0 1024",
    }


def test_v2_translates_what_v1_says() -> None:
    assert writes(
        V2,
        {
            "memory": {"limit": 1 << 26, "swap": 1 << 27, "reservation": 1 << 20},
            "cpu": {"shares": 1024, "quota": 5000, "period": 10000, "burst": 100},
            "pids": {"limit": 9},
            "blockIO": {"throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 7}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 1 << 21}],
            "unified": {"memory.high": "1000000"},
        },
    ) == {
        "/cg/onggi/x/memory.max": str(1 << 26),
        "/cg/onggi/x/memory.swap.max": str(1 << 26),
        "/cg/onggi/x/memory.low": str(1 << 20),
        "/cg/onggi/x/cpu.weight": "39",
        "/cg/onggi/x/cpu.max": "5000 10000",
        "/cg/onggi/x/cpu.max.burst": "100",
        "/cg/onggi/x/pids.max": "9",
        "/cg/onggi/x/io.max": "8:0 wiops=7",
        "/cg/onggi/x/hugetlb.2MB.max": str(1 << 21),
        "/cg/onggi/x/memory.high": "1000000",
    }


def test_v2_delegates_from_the_root_down_before_the_limits() -> None:
    steps = cgroups.compile(V2, "/a/b", {"pids": {"limit": 3}}).host
    words = "+cpuset +cpu +io +memory +hugetlb +pids"
    assert steps[:5] == [
        ("mkdir", "/cg/a"),
        ("mkdir", "/cg/a/b"),
        ("write", "/cg/cgroup.subtree_control", words),
        ("write", "/cg/a/cgroup.subtree_control", words),
        ("write", "/cg/a/b/pids.max", "3"),
    ]
    assert steps[5][:2] == ("cgroup-device", "/cg/a/b")


def test_hybrid_uses_v2_only_where_a_limit_lives_there() -> None:
    hybrid = Layout(V1.v1, "/cg/unified", ("hugetlb",))
    assert all("unified" not in directory for directory in cgroups.compile(hybrid, "/x", {}).directories)
    found = cgroups.compile(hybrid, "/x", {"hugepageLimits": [{"pageSize": "2MB", "limit": 5}]})
    assert ("write", "/cg/unified/x/hugetlb.2MB.max", "5") in found.host
    assert found.born == "/cg/unified/x"
    assert found.tasks
    assert not any("unified" in path for path in found.tasks)


@pytest.mark.parametrize("path", ["/a/../b", "..", "/", "", "/a/..", "/a\0b"])
def test_paths_that_lead_out_are_refused(path: str) -> None:
    with pytest.raises(InvalidParameter, match="cgroupsPath"):
        checked(path)


@pytest.mark.parametrize(
    ("layout", "resources", "where"),
    [
        (V1, {"memory": {"limit": -5}}, "memory.limit"),
        (V1, {"memory": {"limit": "64m"}}, "memory.limit"),
        (V1, {"memory": {"limit": 100, "swap": 50}}, "memory.swap"),
        (V1, {"memory": {"swappiness": 101}}, "memory.swappiness"),
        (V1, {"unified": {"memory.high": "1"}}, "unified"),
        (V2, {"memory": {"swap": 100}}, "memory.swap"),
        (V2, {"memory": {"swappiness": 3}}, "memory.swappiness"),
        (V2, {"cpu": {"realtimeRuntime": 3}}, "cpu.realtimeRuntime"),
        (V2, {"unified": {"../x.y": "1"}}, "unified"),
        (V2, {"hugepageLimits": [{"pageSize": "../x", "limit": 1}]}, "hugepageLimits"),
    ],
)
def test_what_is_wrong_is_named(layout: Layout, resources: dict[str, Any], where: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        cgroups.compile(layout, "/x", resources)
    assert f"linux.resources.{where}" in caught.value.message


def test_a_missing_controller_is_named() -> None:
    with pytest.raises(Unavailable, match="rdma"):
        cgroups.compile(V1, "/x", {"rdma": {"mlx": {"hcaHandles": 1}}})


def test_device_rules_fold_and_refuse_what_v1_cannot_say() -> None:
    deny = {"allow": False, "access": "rwm"}
    lines = devices.lines(
        [{"allow": True, "type": "c", "major": 9, "minor": 9, "access": "r"}, deny, *devices.DEFAULT_RULES]
    )
    assert lines[0] == ("devices.deny", "a")
    assert ("devices.allow", "c 1:3 rwm") in lines and ("devices.allow", "c 136:* rwm") in lines
    assert all("9:9" not in line for _, line in lines)
    assert devices.lines([{"allow": True, "type": "a"}]) == [("devices.allow", "a")]
    with pytest.raises(InvalidParameter, match="takes back a part"):
        devices.lines(
            [*devices.DEFAULT_RULES, {"allow": False, "type": "c", "major": 136, "minor": 1, "access": "r"}]
        )
