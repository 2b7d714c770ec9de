"""Devices by name, for real: spec files in directories of our own, onggi and the docker client."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.engines import BUSYBOX

pytestmark = pytest.mark.root
CREATE = ("run", "--rm", "--network", "none")

YAML = """
cdiVersion: 0.7.0
kind: vendor.com/net
containerEdits:
  env: [GENERAL=yes]
devices:
  - name: 0            # a device that is named by a number keeps its name
    containerEdits:
      env: ["FIRST=a=b"]
      deviceNodes:
        - {path: /dev/kept, hostPath: /dev/null, fileMode: 0640, permissions: r}
      additionalGids: [0, 4242]
  - name: all
    containerEdits:
      env: [ALL=1]
"""


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[engines.Engine, Path]]:
    top = tmp_path_factory.mktemp("cdi")
    first, second = top / "first", top / "second"
    first.mkdir()
    second.mkdir()
    with engines.onggi(top, "--cdi-spec-dir", str(first), "--cdi-spec-dir", str(second)) as engine:
        engines.import_busybox(engine)
        yield engine, top


@pytest.fixture
def bench(specs: tuple[engines.Engine, Path]) -> Iterator[tuple[engines.Engine, Path]]:
    engine, top = specs
    (top / "first/net.yaml").write_text(YAML)
    yield engine, top
    engine.remove_all()
    for path in [*(top / "first").iterdir(), *(top / "second").iterdir()]:
        path.unlink()


def one(name: str, **edits: object) -> dict[str, object]:
    return {"name": name, "containerEdits": edits}


def write(path: Path, kind: str, *devices: dict[str, object], version: str = "0.7.0") -> None:
    path.write_text(json.dumps({"cdiVersion": version, "kind": kind, "devices": devices}))


@pytest.mark.parametrize("client", ["onggi", pytest.param("docker", marks=pytest.mark.peer)])
def test_all_edits(bench: tuple[engines.Engine, Path], client: str, docker_client: str) -> None:
    engine, top = bench
    data = top / "data"
    data.mkdir(exist_ok=True)
    (data / "file").write_text("from the host\n")
    mark = top / f"hook-{client}"
    hook = top / "hook"
    hook.write_text(
        "#!/usr/bin/python3\nimport json, sys\nstate = json.load(sys.stdin)\n"
        "document = json.load(open(state['bundle'] + '/config.json'))\n"
        "root, env = document['root']['path'], document['process']['env']\n"
        "open(sys.argv[1], 'w').write(f\"{state['status']} {root} {env}\")\n"
    )
    hook.chmod(0o755)
    write(
        top / "first/more.json",
        "vendor.com/more",
        one(
            "x",
            mounts=[{"hostPath": str(data), "containerPath": "/opt/data", "options": ["ro", "rbind"]}],
            hooks=[{"hookName": "createRuntime", "path": str(hook), "args": ["hook", str(mark)]}],
        ),
    )
    script = (
        "env; id -G; stat -c '%a %t:%T' /dev/kept; cat /opt/data/file; touch /opt/data/x || echo read-only"
    )
    done = engine.run(
        client, *CREATE, "--device", "vendor.com/net=0", "--device", "vendor.com/more=x",
        "--device", "/dev/zero:/dev/plain", "--env", "SECRET=1", BUSYBOX, "sh", "-c", script,
    ).stdout  # fmt: skip
    assert "GENERAL=yes\n" in done and "FIRST=a=b\n" in done and "ALL=1" not in done
    assert "4242" in done and "640 1:3" in done
    assert "from the host" in done and "read-only" in done
    status, root, env = mark.read_text().split(" ", 2)
    assert status == "creating" and root.startswith(str(top)) and env == "[]"


@pytest.mark.parametrize("client", ["onggi", pytest.param("docker", marks=pytest.mark.peer)])
def test_gpus(bench: tuple[engines.Engine, Path], client: str, docker_client: str) -> None:
    engine, top = bench
    refused = engine.run(client, *CREATE, "--gpus", "all", BUSYBOX, "true", check=False)
    assert refused.returncode == 125
    assert 'could not select device driver "" with capabilities: [[gpu]]' in refused.stderr
    write(
        top / "first/nvidia.json",
        "nvidia.com/gpu",
        *(one(name, env=[f"GPU_{name}=1"]) for name in ("all", "0", "1", "GPU-7")),
        version="0.5.0",
    )
    for asked, shown in (
        ("all", {"GPU_all=1"}),
        ("2", {"GPU_0=1", "GPU_1=1"}),
        ("device=GPU-7", {"GPU_GPU-7=1"}),
        ('"device=1,0",driver=nvidia', {"GPU_0=1", "GPU_1=1"}),
    ):
        seen = engine.run(client, *CREATE, "--gpus", asked, BUSYBOX, "env").stdout.splitlines()
        assert {line for line in seen if line.startswith("GPU_")} == shown, asked
    short = engine.run(client, *CREATE, "--gpus", "3", BUSYBOX, "true", check=False)
    assert short.returncode == 125 and "unresolvable CDI devices nvidia.com/gpu=2" in short.stderr


@pytest.mark.parametrize("client", ["onggi", pytest.param("docker", marks=pytest.mark.peer)])
def test_unresolvable(bench: tuple[engines.Engine, Path], client: str, docker_client: str) -> None:
    engine, _ = bench
    words = ("--device", "vendor.com/net=nosuch", "--device", "o.org/xy=y", "--device", "vendor.com/net=0")
    done = engine.run(client, *CREATE, *words, BUSYBOX, "true", check=False)
    assert done.returncode == 125
    assert (
        "CDI device injection failed: unresolvable CDI devices vendor.com/net=nosuch, o.org/xy=y"
        in done.stderr
    )


def test_info(bench: tuple[engines.Engine, Path]) -> None:
    engine, top = bench
    found = engine.api("GET", "/v1.51/info")
    assert found["CDISpecDirs"] == [str(top / "first"), str(top / "second")]
    assert found["DiscoveredDevices"] == [
        {"Source": "cdi", "ID": "vendor.com/net=0"},
        {"Source": "cdi", "ID": "vendor.com/net=all"},
    ]
    assert "DiscoveredDevices" not in engine.api("GET", "/v1.49/info")
    shown = engine.onggi("info")
    assert f" CDI spec directories:\n  {top}/first\n" in shown
    assert " Discovered Devices:\n  cdi: vendor.com/net=0\n" in shown


def test_later_directories_win_and_equal_ones_take_each_other_away(
    bench: tuple[engines.Engine, Path],
) -> None:
    engine, top = bench
    write(top / "second/net.json", "vendor.com/net", one("0", env=["WHO=second"]))
    seen = engine.onggi(*CREATE, "--device", "vendor.com/net=0", BUSYBOX, "env")
    assert "WHO=second" in seen and "GENERAL" not in seen
    write(top / "second/again.json", "vendor.com/net", one("0", env=["WHO=again"]))
    done = engine.run("onggi", *CREATE, "--device", "vendor.com/net=0", BUSYBOX, "env", check=False)
    assert "unresolvable CDI devices vendor.com/net=0" in done.stderr
    warnings = "\n".join(engine.api("GET", "/v1.51/info")["Warnings"])
    assert 'conflicting device "vendor.com/net=0"' in warnings


def test_intel_rdt_is_refused_by_name(bench: tuple[engines.Engine, Path]) -> None:
    engine, top = bench
    write(top / "first/rdt.json", "vendor.com/rdt", one("x", intelRdt={"closID": "guaranteed"}))
    done = engine.run("onggi", *CREATE, "--device", "vendor.com/rdt=x", BUSYBOX, "true", check=False)
    assert done.returncode == 125 and "vendor.com/rdt=x: intelRdt is not supported" in done.stderr


def test_a_node_that_is_not_there(bench: tuple[engines.Engine, Path]) -> None:
    engine, top = bench
    write(top / "first/gone.json", "vendor.com/gone", one("x", deviceNodes=[{"path": "/dev/no-such"}]))
    write(top / "first/file.json", "vendor.com/file", one("x", deviceNodes=[{"path": "/etc/passwd"}]))
    write(
        top / "first/type.json", "vendor.com/type", one("x", deviceNodes=[{"path": "/dev/null", "type": "b"}])
    )
    for kind, words in (
        ("gone", "No such file"),
        ("file", "not a device node"),
        ("type", "type mismatch (b, c)"),
    ):
        done = engine.run("onggi", *CREATE, "--device", f"vendor.com/{kind}=x", BUSYBOX, "true", check=False)
        assert done.returncode == 125 and words in done.stderr, done.stderr


def test_without_permission_for_the_node_it_cannot_be_written(bench: tuple[engines.Engine, Path]) -> None:
    """Rights of the cgroup: /dev/loop-control (10:237) is not among what every container has."""
    engine, top = bench
    if not os.path.exists("/dev/loop-control"):
        pytest.skip("no /dev/loop-control")
    node = {"path": "/dev/control", "hostPath": "/dev/loop-control", "permissions": "r"}
    write(top / "first/loop.json", "vendor.com/loop", one("x", deviceNodes=[node]))
    script = "head -c0 /dev/control && echo readable; (: >/dev/control) 2>/dev/null || echo not writable"
    seen = engine.onggi(*CREATE, "--device", "vendor.com/loop=x", BUSYBOX, "sh", "-c", script)
    assert seen == "readable\nnot writable\n"


def test_restarts_and_a_killed_engine_read_the_specs_anew(bench: tuple[engines.Engine, Path]) -> None:
    engine, top = bench
    engine.onggi(
        "create", "--name", "anew", "--network", "none", "--device", "vendor.com/net=all", BUSYBOX, "env"
    )
    engine.kill()
    engine.start()
    assert "ALL=1" in engine.onggi("start", "-a", "anew")
    (top / "first/net.yaml").write_text(YAML.replace("ALL=1", "ALL=2"))
    assert "ALL=2" in engine.onggi("start", "-a", "anew")
    asked = engine.api("GET", "/containers/anew/json")["HostConfig"]["DeviceRequests"]
    assert asked[0]["Driver"] == "cdi" and asked[0]["DeviceIDs"] == ["vendor.com/net=all"]


def test_hostile_files_take_nothing_but_themselves_away(bench: tuple[engines.Engine, Path]) -> None:
    engine, top = bench
    first = top / "first"
    os.mkfifo(first / "pipe.json")
    (first / "loop.json").symlink_to(first / "loop.json")
    (first / "tty.yaml").symlink_to("/dev/zero")
    (first / "deep.yaml").write_text("[" * 100_000)
    (first / "deep.json").write_text("[" * 100_000)
    (first / "bomb.yaml").write_text(
        "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(100))
    )
    (first / "large.json").write_bytes(b" " * (5 << 20))
    (first / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    began = time.monotonic()
    warnings = engine.api("GET", "/v1.51/info")["Warnings"]
    assert time.monotonic() - began < 30  # the bomb alone would take for ever
    for name in ("pipe.json", "loop.json", "tty.yaml", "deep.yaml", "deep.json", "bomb.yaml", "large.json",
                 "bytes.yaml"):  # fmt: skip
        assert any(f"{first}/{name}" in text for text in warnings), name
    assert "FIRST=a=b" in engine.onggi(*CREATE, "--device", "vendor.com/net=0", BUSYBOX, "env")


def test_requests_that_make_no_sense(bench: tuple[engines.Engine, Path]) -> None:
    engine, _ = bench
    for request, words in (
        ({"Driver": "cdi", "Count": 1, "DeviceIDs": ["vendor.com/net=0"]}, "unexpected count"),
        ({"Driver": "cdi", "Options": {"a": "b"}}, "unexpected options"),
        ({"Driver": "other", "Capabilities": [["gpu"]]}, 'could not select device driver "other"'),
        ({"Driver": "cdi", "DeviceIDs": ["../../etc=x"]}, "unresolvable CDI devices ../../etc=x"),
    ):
        host = {"DeviceRequests": [request], "NetworkMode": "none"}
        body = {"Image": BUSYBOX, "Cmd": ["true"], "HostConfig": host}
        made = engine.api("POST", "/containers/create", body)["Id"]
        status, answer = engine.request("POST", f"/containers/{made}/start")
        assert status >= 400 and words in json.loads(answer)["message"]


def test_in_a_user_namespace(bench: tuple[engines.Engine, Path]) -> None:
    """No device can be made there, so the host's own is shown; hooks are the host's root all the same."""
    engine, top = bench
    mark, hook = top / "hooked-mapped", top / "hook-mapped"
    hook.write_text('#!/bin/sh\nid -u > "$1"\nsed -n 1p /proc/self/uid_map >> "$1"\n')
    hook.chmod(0o755)
    write(
        top / "first/mapped.json",
        "vendor.com/mapped",
        one(
            "all",
            env=["MAPPED=1"],
            deviceNodes=[
                {"path": "/dev/kept", "hostPath": "/dev/null"},
                {"path": "/dev/zero2", "hostPath": "/dev/zero"},
            ],
            mounts=[{"hostPath": str(hook), "containerPath": "/tool", "options": ["ro", "bind"]}],
            hooks=[
                {"hookName": name, "path": str(hook), "args": ["hook", f"{mark}-{name}"]}
                for name in ("createRuntime", "poststop")
            ],
        ),
    )  # fmt: skip
    words = (
        "echo x > /dev/kept; dd if=/dev/zero2 bs=8 count=1 2>/dev/null | wc -c; test -r /tool && echo $MAPPED"
    )
    got = engine.onggi(
        *CREATE, "--userns=auto", "--device", "vendor.com/mapped=all", BUSYBOX, "sh", "-c", words
    )
    assert got.split() == ["8", "1"]
    for name in ("createRuntime", "poststop"):
        path = top / f"hooked-mapped-{name}"
        engines.until(lambda path=path: path.exists() and path.read_text().count("\n") == 2)  # type: ignore[misc]
        assert path.read_text().split()[:3] == ["0", "0", "0"]


def test_a_name_of_the_host_is_not_taken_for_its_device(bench: tuple[engines.Engine, Path]) -> None:
    """In a user namespace nodes are bound: the one that has the number, whatever has that name outside."""
    engine, _ = bench
    words = ("--userns=auto", "--device", "/dev/null:/dev/zero9", "--device", "/dev/null:/dev/kmsg")
    got = engine.onggi(*CREATE, *words, BUSYBOX, "stat", "-c", "%t:%T", "/dev/zero9", "/dev/kmsg")
    assert got.split() == ["1:3", "1:3"]
