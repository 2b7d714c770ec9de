"""What steps may ask for: devices by name, the host's network, all privileges; through both doors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.buildx import buildx, need

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Engine]:
    """With busybox:test, and devices."""
    need()
    top = tmp_path_factory.mktemp("devices")
    specs = top / "cdi"
    specs.mkdir()
    devices = [
        {"name": "one", "containerEdits": {"env": ["ONE=given"]}},
        {
            "name": "two",
            "annotations": {"org.mobyproject.buildkit.device.class": "class-two"},
            "containerEdits": {"deviceNodes": [{"path": "/dev/two", "hostPath": "/dev/null"}]},
        },
    ]
    (specs / "a.json").write_text(
        json.dumps({"cdiVersion": "0.7.0", "kind": "vendor.com/device", "devices": devices})
    )
    free = {"org.mobyproject.buildkit.device.autoallow": "true"}
    (specs / "b.json").write_text(json.dumps({
        "cdiVersion": "0.7.0", "kind": "vendor.com/free", "annotations": free,
        "devices": [{"name": "it", "containerEdits": {"env": ["FREE=given"]}}],
    }))  # fmt: skip
    with engines.onggi(top, "--cdi-spec-dir", str(specs)) as engine:
        engines.import_busybox(engine)
        yield engine


def built(engine: engines.Engine, context: Path, door: str, *args: str, fails: bool = False) -> str:
    """What is told of a build through a door."""
    if door == "buildx":
        return buildx(engine, context, "build", "--progress=plain", "--no-cache", *args, ".", fails=fails)
    done = engine.run("onggi", "build", "--progress=plain", "--no-cache", *args, str(context), check=False)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(params=["buildx", "onggi"])
def door(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(context: Path, flags: str, command: str) -> None:
    (context / "Dockerfile").write_text(f"FROM busybox:test\nRUN {flags} {command}\n")


SEEN = 'echo "[$ONE] [$FREE] $(test -c /dev/two && echo two)"'


@pytest.mark.parametrize(
    ("flags", "allow", "seen"),
    [
        ("--device=vendor.com/device=one", ("device",), "[given] [] "),
        ("--device=vendor.com/device=one", ("device=vendor.com/device=one",), "[given] [] "),
        ("--device=vendor.com/device", ("device=vendor.com/device=*",), "[given] [] "),
        ("--device=vendor.com/device=*", ("device=vendor.com/device=*",), "[given] [] two"),
        ("--device=class-two", ("device=class-two",), "[] [] two"),
        ("--device=other", ("device=vendor.com/device=two,alias=other",), "[] [] two"),
        ("--device=vendor.com/free=it", (), "[] [given] "),
        ("--device=vendor.com/device=missing", (), "[] [] "),
    ],
)
def test_devices_of_a_step(
    engine: engines.Engine, context: Path, door: str, flags: str, allow: tuple[str, ...], seen: str
) -> None:
    run(context, flags, SEEN)
    told = built(engine, context, door, *(f"--allow={one}" for one in allow))
    assert f"{seen}\n" in told, told


@pytest.mark.parametrize(
    ("flags", "allow", "said"),
    [
        ("--device=vendor.com/device=one", (), "device vendor.com/device=one is requested by the build"),
        (
            "--device=vendor.com/device=*", (),
            "devices vendor.com/device=one, vendor.com/device=two are requested by the build but not allowed",
        ),
        (
            "--device=vendor.com/device=two", ("device=vendor.com/device=one",),
            "device vendor.com/device=two is requested by the build but not allowed",
        ),
        ("--device=v.com/no=x,required", ("device",), 'required device "v.com/no=x" is not registered'),
        ("--security=insecure", (), "security.insecure is not allowed"),
        (
            "--security=insecure", ("security.insecure",),
            "granting entitlement security.insecure is not allowed by build daemon configuration",
        ),
        ("", ("device=vendor.com/device=one,key=value",), "unknown device config key"),
    ],
)  # fmt: skip
def test_what_is_not_allowed(
    engine: engines.Engine, context: Path, door: str, flags: str, allow: tuple[str, ...], said: str
) -> None:
    run(context, flags, "true")
    told = built(engine, context, door, *(f"--allow={one}" for one in allow), fails=True)
    assert said in told


def test_an_entitlement_that_there_is_not(engine: engines.Engine, context: Path) -> None:
    run(context, "", "true")
    assert "unknown entitlement all" in built(engine, context, "onggi", "--allow=all", fails=True)


def test_the_network_of_the_host(engine: engines.Engine, context: Path) -> None:
    run(context, "--network=host", "true")
    assert "network.host is not allowed" in built(engine, context, "buildx", fails=True)
    built(engine, context, "buildx", "--allow=network.host")
    built(engine, context, "onggi")  # as dockerd's classic builder has it


def test_the_cache_gives_no_leave(engine: engines.Engine, context: Path) -> None:
    """A step that was allowed in one build is not taken from the cache by one that may not run it."""
    run(context, "--network=host", "echo cached")
    buildx(engine, context, "build", "--allow=network.host", ".")
    assert "network.host is not allowed" in buildx(engine, context, "build", ".", fails=True)


def test_the_configuration_can_allow_more_and_less(tmp_path: Path, context: Path) -> None:
    file = tmp_path / "daemon.json"
    wanted = {"network-host": False, "security-insecure": True, "device": False}
    file.write_text(json.dumps({"builder": {"entitlements": wanted}}))
    with engines.onggi(tmp_path / "own", "--config-file", str(file)) as engine:
        engines.import_busybox(engine)
        run(context, "--security=insecure", "grep CapEff /proc/self/status")
        for door in ("buildx", "onggi"):
            told = built(engine, context, door, "--allow=security.insecure")
            bits = told.partition("CapEff:")[2].split()[0]
            assert int(bits, 16) & 1 << 21, told  # CAP_SYS_ADMIN
            for name in ("network.host", "device=vendor.com/device=one"):
                refused = built(engine, context, door, f"--allow={name}", fails=True)
                said = f"granting entitlement {name.partition('=')[0]} is not allowed"
                assert f"{said} by build daemon configuration" in refused
