"""The pure parts of the engine: states, words, mounts, environments, health."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from onggi.engine import attach_options, clock, config, health, restart_policy, signals, status
from onggi.engine.containers import mount_specs, mount_words, mounts, names, validate
from onggi.engine.oci import process, resources, seccomp_profiles
from onggi.engine.record import ContainerRecord, HealthState, Probe, decode
from onggi.engine.status import Event, Status
from onggi.errors import Conflict, InvalidParameter
from onggi.runtime import seccomp
from onggi.runtime.seccomp import tables, words
from onggi.spec import age
from onggi.wire.containers import ContainerConfig, HostConfig, Mount, RestartPolicy
from tests.unit.runtime_seccomp import bpf


def record(**fields: object) -> ContainerRecord:
    base: dict[str, object] = dict(  # noqa: C408 - reads as the call it becomes
        id="a" * 64, name="jar", created_at=1, image_id="sha256:b", image_name="b",
        config=ContainerConfig(image="b"), host_config=HostConfig(),
    )  # fmt: skip
    return ContainerRecord(**{**base, **fields})  # type: ignore[arg-type]


def test_a_record_survives_its_row() -> None:
    made = record(
        status=Status.PAUSED,
        health=HealthState(log=(Probe(started_at=1, ended_at=2, exit_code=0, output="x"),)),
    )
    assert decode(made.encode()) == made


def test_transitions() -> None:
    assert status.after(Status.CREATED, Event.START) is Status.RUNNING
    assert status.after(Status.PAUSED, Event.EXIT_TO_RESTART) is Status.RESTARTING
    with pytest.raises(Conflict, match="cannot pause a container that is exited"):
        status.after(Status.EXITED, Event.PAUSE)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"status": Status.RUNNING}, "Up 3 minutes"),
        ({"status": Status.RUNNING, "health": HealthState()}, "Up 3 minutes (health: starting)"),
        ({"status": Status.RUNNING, "health": HealthState(status="healthy")}, "Up 3 minutes (healthy)"),
        ({"status": Status.PAUSED}, "Up 3 minutes (Paused)"),
        ({"status": Status.EXITED, "exit_code": 2, "finished_at": 1}, "Exited (2) 3 minutes ago"),
        ({"status": Status.CREATED}, "Created"),
    ],
)
def test_status_text(fields: dict[str, object], text: str) -> None:
    made = record(started_at=1, **fields)
    assert status.text(made, 1 + 190 * clock.SECOND) == text


def test_paused_is_running_too() -> None:
    shown = status.state(record(status=Status.PAUSED, pid=5))
    assert (shown.running, shown.paused, shown.pid) == (True, True, 5)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (15 * 86400, "2 weeks"),
        (70 * 86400, "2 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_human(seconds: int, text: str) -> None:
    assert age.words(seconds) == text


@pytest.mark.parametrize(
    ("text", "number"), [("SIGTERM", 15), ("term", 15), ("9", 9), ("RTMIN+3", 37), ("SIGRTMAX", 64)]
)
def test_signals(text: str, number: int) -> None:
    assert signals.parse(text) == number


@pytest.mark.parametrize("text", ["FOO", "0", "65", "-1", "RTMIN+40"])
def test_no_signals(text: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid signal"):
        signals.parse(text)


def test_detach_keys() -> None:
    assert attach_options.detach_keys("") == b"\x10\x11"
    assert attach_options.detach_keys("ctrl-a,x") == b"\x01x"
    with pytest.raises(InvalidParameter, match="Invalid detach keys"):
        attach_options.detach_keys("shift-a")


def test_environment_overrides_and_removes() -> None:
    made = process.environment(
        ContainerConfig(env=["PATH=/bin", "A=1", "HOSTNAME"], tty=True), hostname="jar", home="/root"
    )
    assert made == ["PATH=/bin", "TERM=xterm", "A=1", "HOME=/root"]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("/host:/in", {"type": "bind", "source": "/host", "target": "/in", "read_only": False}),
        ("/host:/in:ro,rslave", {"read_only": True, "propagation": "rslave"}),
        ("vol:/in:nocopy", {"type": "volume", "name": "vol", "no_copy": True}),
        ("/in", {"type": "volume", "anonymous": True, "target": "/in"}),
    ],
)
def test_binds(text: str, fields: dict[str, object]) -> None:
    made = mount_words.parse(text)
    assert {name: getattr(made, name) for name in fields} == fields


@pytest.mark.parametrize(
    "text", ["", "a:b:c:d", "/a:/", "/a:b", "/a:/b:ro,rw", "/a:/b:what", "vol!:/b", "v:/b"]
)
def test_binds_that_are_none(text: str) -> None:
    with pytest.raises(InvalidParameter):
        mount_words.parse(text)


def test_a_bind_mount_needs_its_source() -> None:
    with pytest.raises(
        InvalidParameter, match='invalid mount config for type "bind": bind source path does not exist: /no'
    ):
        mount_specs.parse(Mount(type="bind", source="/no", target="/x"))


def test_targets_are_unique() -> None:
    with pytest.raises(InvalidParameter, match="Duplicate mount point: /x"):
        mounts.resolve(ContainerConfig(), HostConfig(binds=["/a:/x", "/b:/x/"]), lambda _: (), "/root")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"memory": 1 << 20}, "Minimum memory limit allowed is 6MB"),
        ({"memory_swap": 1 << 30}, "You should always set the Memory limit"),
        ({"nano_cpus": 1, "cpu_period": 5000}, "Nano CPUs and CPU Period cannot both be set"),
        ({"cpuset_cpus": "9999"}, "Invalid value 9999 for cpuset cpus"),
        ({"restart_policy": RestartPolicy(name="maybe")}, "unknown policy 'maybe'"),
        (
            {"auto_remove": True, "restart_policy": RestartPolicy(name="always")},
            "can't create 'AutoRemove' container",
        ),
        ({"cap_add": ["NONSENSE"]}, 'invalid CapAdd: unknown capability: "CAP_NONSENSE"'),
        ({"security_opt": ["what"]}, 'invalid --security-opt 1: "what"'),
        ({"ipc_mode": "odd"}, "invalid IPC mode: odd"),
    ],
)
def test_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        validate.host(HostConfig(**fields))  # type: ignore[arg-type]
    assert message in caught.value.message


def test_limits() -> None:
    made = resources.resources(
        HostConfig(nano_cpus=1_500_000_000, memory=1 << 30, memory_swap=-1, pids_limit=9)
    )
    assert made == {
        "cpu": {"period": 100_000, "quota": 150_000},
        "memory": {"limit": 1 << 30, "swap": -1},
        "pids": {"limit": 9},
    }


def test_health_needs_several_failures_and_one_success() -> None:
    bad, good = (Probe(started_at=1, ended_at=2, exit_code=code, output="") for code in (1, 0))
    state = health.judge(HealthState(), bad, 2, grace=True)
    assert (state.status, state.failing_streak) == ("starting", 0)
    state = health.judge(health.judge(state, bad, 2, grace=False), bad, 2, grace=False)
    assert (state.status, state.failing_streak) == ("unhealthy", 2)
    assert health.judge(state, good, 2, grace=False).status == "healthy"


def test_policies() -> None:
    policy = RestartPolicy(name="on-failure", maximum_retry_count=2)
    made = record(host_config=HostConfig(restart_policy=policy), restart_count=1)
    assert restart_policy.wanted(made, 1)
    assert not restart_policy.wanted(made, 0)
    assert not restart_policy.wanted(
        record(host_config=HostConfig(restart_policy=policy), restart_count=2), 1
    )


def test_profiles_of_docker_are_resolved_by_capability() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        ],
    }
    made = seccomp_profiles.resolve(profile, ["CAP_SYS_ADMIN"])
    assert [rule["names"] for rule in made["syscalls"]] == [["mount"]]


@pytest.mark.parametrize("default", [("SCMP_ACT_ERRNO", 1), ("SCMP_ACT_ERRNO", 25), ("SCMP_ACT_ALLOW", None)])
@pytest.mark.parametrize("rules", [[["ioctl", "read", "file_setattr"]], [["read"], ["ioctl"]], []])
def test_within_a_quota_no_way_leads_to_another_project(
    default: tuple[str, int | None], rules: list[list[str]]
) -> None:
    profile = {
        "defaultAction": default[0],
        **({"defaultErrnoRet": default[1]} if default[1] else {}),
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"} for names in rules],
    }
    before = seccomp.compile(profile, arch="x86_64").program
    after = seccomp.compile(seccomp_profiles.within_quota(profile), arch="x86_64").program
    for arch in ("x86_64", "x86", "x32"):
        bit = words.X32_BIT if arch == "x32" else 0
        audit, numbers = words.AUDIT_ARCH[arch], {k: v | bit for k, v in tables.numbers(arch).items()}
        assert bpf.run(after, audit, numbers["file_setattr"]) & 0xFFFF0000 == words.RET_ERRNO
        for command in (0x401C5820, 0x40086602, 0x40046602):
            for high in (0, 1 << 32):
                got = bpf.run(after, audit, numbers["ioctl"], (3, command | high))
                assert got & 0xFFFF0000 == words.RET_ERRNO
        for number, args in (
            (numbers["ioctl"], (3, 0x5413)),
            (numbers["read"], (3,)),
            (numbers["mount"], ()),
        ):
            assert (
                len({bpf.run(program, audit, number, args) & 0xFFFF0000 for program in (before, after)}) == 1
            )


def test_configuration() -> None:
    made = config.parse({"data-root": "/x", "default-shm-size": "128m"})
    assert (made.root, made.default_shm_bytes) == ("/x", 128 << 20)
    with pytest.raises(InvalidParameter, match="don't match any configuration option: nonsense"):
        config.parse({"nonsense": 1})


def test_a_seccomp_profile_and_host_gateways_in_daemon_json(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    made = config.parse({"seccomp-profile": str(path), "host-gateway-ip": "10.0.0.1"})
    assert (made.seccomp_profile, made.seccomp) == (str(path), '{"defaultAction":"SCMP_ACT_ALLOW"}')
    assert made.host_gateway_addresses == ("10.0.0.1",)
    assert config.parse({"host-gateway-ips": ["10.0.0.1", "fd00::1"]}).host_gateway_addresses[1] == "fd00::1"
    path.write_text("no profile")
    for document, why in (
        ({"seccomp-profile": str(path)}, f"seccomp profile ({path}) is not valid: "),
        ({"seccomp-profile": "/no/x"}, "opening seccomp profile (/no/x) failed: open /no/x: no such file"),
        ({"host-gateway-ips": ["here"]}, "invalid IP address for host-gateway-ips: here"),
        ({"host-gateway-ips": ["10.0.0.1", "10.0.0.2"]}, "only one IPv4 host gateway IP address can be"),
        ({"host-gateway-ips": ["::1"], "host-gateway-ip": "::1"}, "both given"),
    ):
        with pytest.raises(InvalidParameter, match=re.escape(why)):
            config.parse(document)


def test_names_are_valid_and_free() -> None:
    name = names.generate(lambda _: False)
    assert validate.name(name) == name
