"""What a container sees: run for real, printed by its own shell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from onggi.spawn.plan import StepFailed, mount
from tests.integration.spawn.busybox_containers import Runner, config

pytestmark = pytest.mark.root


def sh(root: Path, script: str, **process: Any) -> dict[str, Any]:
    return config(root, "sh", "-c", script, **process)


def test_exit_status_output_and_input(run: Runner, root: Path) -> None:
    assert run(sh(root, "cat; exit 7"), stdin=b"in\n") == (7, "in\n")


def test_isolation(run: Runner, root: Path) -> None:
    code, out = run(sh(root, "echo $$; hostname; ls /sys/class/net; ls /; cat /proc/1/comm"))
    assert code == 0
    assert out.split() == ["1", "jar", "lo", *sorted(["bin", "dev", "etc", "proc", "sys", "tmp"]), "cat"]


def test_no_descriptor_of_the_host_is_left(run: Runner, root: Path) -> None:
    code, out = run(sh(root, "ls /proc/self/fd | wc -l; ls -l /proc/1/fd"))
    assert code == 0
    assert out.split()[0] == "4"  # stdio and ls's own directory


def test_devices_and_links(run: Runner, root: Path) -> None:
    script = "stat -c '%n %t %T %a' /dev/null /dev/tty /dev/full; for l in fd ptmx stdin; do readlink /dev/$l; done; echo x >/dev/null"  # noqa: E501
    code, out = run(sh(root, script))
    assert (code, out.splitlines()) == (
        0,
        [
            "/dev/null 1 3 666",
            "/dev/tty 5 0 666",
            "/dev/full 1 7 666",
            "/proc/self/fd",
            "pts/ptmx",
            "/proc/self/fd/0",
        ],
    )


def test_masked_and_readonly_paths(run: Runner, root: Path) -> None:
    script = "wc -c </proc/interrupts; ls -A /proc/acpi /sys/firmware 2>/dev/null | grep -v :; echo 1 >/proc/sys/vm/swappiness"  # noqa: E501
    document = sh(root, script)
    document["linux"]["maskedPaths"].append("/proc/interrupts")
    code, out = run(document)
    assert code != 0
    assert out.splitlines()[0] == "0"
    assert "Read-only file system" in out


def test_readonly_root(run: Runner, root: Path) -> None:
    document = sh(root, "touch /x; touch /dev/x && echo yes")
    document["root"]["readonly"] = True
    code, out = run(document)
    assert "Read-only file system" in out and "yes" in out and code == 0


def test_capabilities_no_new_privs_user_umask_groups(run: Runner, root: Path) -> None:
    document = sh(root, "id; umask; grep -E 'Cap|NoNew' /proc/self/status")
    process = document["process"]
    process["user"] = {"uid": 1000, "gid": 1001, "umask": 0o027, "additionalGids": [5, 6]}
    process["noNewPrivileges"] = True
    process["capabilities"] = {
        key: ["CAP_NET_BIND_SERVICE"]
        for key in ("bounding", "effective", "permitted", "inheritable", "ambient")
    }
    code, out = run(document)
    assert code == 0
    assert "uid=1000 gid=1001 groups=5,6" in out and "0027" in out
    values = dict(line.split(":\t") for line in out.splitlines() if ":\t" in line)
    assert {values[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0000000000000400"}
    assert values["NoNewPrivs"] == "1"


def test_bind_mounts(run: Runner, root: Path, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host/file").write_text("from the host\n")
    document = sh(root, "cat /data/deep/file /one; touch /data/deep/x && echo wrote; echo >/one")
    document["mounts"] += [
        {"destination": "/data/deep", "type": "bind", "source": str(tmp_path / "host"), "options": ["rbind"]},
        {
            "destination": "/one",
            "type": "bind",
            "source": str(tmp_path / "host/file"),
            "options": ["bind", "ro"],
        },
    ]
    code, out = run(document)
    assert out.startswith("from the host\nfrom the host\nwrote\n") and "Read-only" in out and code == 1


def test_a_link_in_the_root_does_not_lead_out(run: Runner, root: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (root / "etc/out").symlink_to(f"../../../../../../..{canary}")
    document = sh(root, f"ls -d {canary}/made")
    document["mounts"].append(
        {"destination": "/etc/out/made", "type": "tmpfs", "source": "tmpfs", "options": []}
    )
    code, out = run(document)
    assert (code, out.strip()) == (0, f"{canary}/made")
    assert list(canary.iterdir()) == []


def test_tmpcopyup(run: Runner, root: Path) -> None:
    (root / "etc/dir").mkdir()
    (root / "etc/dir/file").write_text("kept\n")
    document = sh(root, "cat /etc/dir/file; echo new >/etc/dir/file; cat /etc/dir/file")
    document["mounts"].append(
        {"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "mode=755"]}
    )
    assert run(document) == (0, "kept\nnew\n")
    assert (root / "etc/dir/file").read_text() == "kept\n"


def test_recursive_readonly(run: Runner, root: Path, tmp_path: Path) -> None:
    document = sh(root, "touch /a/x; touch /a/shm/x")
    document["mounts"].append(
        {"destination": "/a", "type": "bind", "source": "/dev", "options": ["rbind", "rro"]}
    )
    code, out = run(document)
    assert code == 1 and out.count("Read-only file system") == 2


@pytest.mark.parametrize("length", [1, 60])
def test_overlay_root_with_many_layers(run: Runner, root: Path, tmp_path: Path, length: int) -> None:
    release = tuple(int(number) for number in os.uname().release.split(".")[:2])
    if length > 1 and release < (6, 5):
        pytest.skip("before Linux 6.5 all names of lower directories have to fit into a page")
    layers = []
    for number in range(100):
        layer = tmp_path / f"{'x' * length}{number}"
        layer.mkdir()
        (layer / f"f{number}").touch()
        layers.append(str(layer))
    for name in ("upper", "work", "place"):
        (tmp_path / name).mkdir()
    data = f"lowerdir={':'.join([*layers, str(root)])},upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    document = sh(root, "ls / | grep -c ^f; touch /new")
    document["root"]["path"] = str(tmp_path / "place")
    assert run(document, root_mounts=[mount("overlay", "/", "overlay", 0, data)]) == (0, "100\n")
    assert (tmp_path / "upper/new").exists()
    assert list((tmp_path / "place").iterdir()) == []


def test_terminal(run: Runner, root: Path) -> None:
    document = sh(root, "tty; test -c /dev/console && echo console", terminal=True)
    document["process"]["consoleSize"] = {"height": 30, "width": 100}
    code, out = run(document)
    assert (code, out.split()) == (0, ["/dev/pts/0", "console"])


def test_working_directory_is_made(run: Runner, root: Path) -> None:
    assert run(sh(root, "pwd", cwd="/not/there")) == (0, "/not/there\n")


def test_sysctls(run: Runner, root: Path) -> None:
    document = sh(root, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax")
    document["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "81", "kernel.msgmax": "4096"}
    assert run(document) == (0, "81\n4096\n")


def test_rlimits_and_oom_score(run: Runner, root: Path) -> None:
    document = sh(root, "ulimit -n; cat /proc/self/oom_score_adj", oomScoreAdj=100)
    document["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
    assert run(document) == (0, "100\n100\n")
    document["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 1 << 40}]
    with pytest.raises(StepFailed) as failed:
        run(document)
    assert (failed.value.step, failed.value.argument, failed.value.exit_code) == (
        "rlimit",
        "RLIMIT_NOFILE",
        125,
    )


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["nothere"], 127, 'exec: "nothere": executable file not found in $PATH'),
        (["/bin/nothere"], 127, 'exec: "/bin/nothere": stat /bin/nothere: no such file or directory'),
        (["/etc/plain"], 126, 'exec: "/etc/plain": permission denied'),
        (["/etc"], 126, 'exec: "/etc": is a directory: permission denied'),
        (["/etc/garbage"], 126, "exec /etc/garbage: exec format error"),
        (["/etc/script"], 127, "exec /etc/script: no such file or directory"),
    ],
)
def test_what_cannot_be_executed(run: Runner, root: Path, args: list[str], code: int, text: str) -> None:
    (root / "etc/plain").write_text("x")
    for name, content in (("garbage", "\x7fgarbage"), ("script", "#!/no/interpreter\n")):
        (root / "etc" / name).write_text(content)
        (root / "etc" / name).chmod(0o755)
    with pytest.raises(StepFailed) as failed:
        run(config(root, *args))
    assert (failed.value.exit_code, failed.value.text) == (code, text)


def test_user_namespace(run: Runner, root: Path, tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o755)
    for parent in tmp_path.parents[:2]:
        os.chmod(parent, 0o755)
    document = sh(root, "id -u; cat /proc/self/uid_map; stat -c %u /dev/null; echo x > /dev/null; hostname")
    document["linux"]["namespaces"].append({"type": "user"})
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    document["linux"] |= {"uidMappings": mapping, "gidMappings": mapping}
    code, out = run(document)
    assert code == 0, out
    assert out.split() == ["0", "0", "100000", "65536", "65534", "jar"]


def test_idmapped_bind(run: Runner, root: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    document = sh(root, "stat -c %u:%g /data")
    mapping = [{"containerID": 0, "hostID": 1234, "size": 10}]
    document["mounts"].append(
        {
            "destination": "/data", "type": "bind", "source": str(tmp_path / "data"),
            "options": ["rbind", "ridmap"], "uidMappings": mapping, "gidMappings": mapping,
        }
    )  # fmt: skip
    assert run(document) == (0, "1234:1234\n")


def test_time_namespace(run: Runner, root: Path) -> None:
    document = sh(root, "cat /proc/self/timens_offsets; cat /proc/uptime")
    document["linux"]["namespaces"].append({"type": "time"})
    document["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000}}
    code, out = run(document)
    assert code == 0 and float(out.splitlines()[-1].split()[0]) > 1000000


def test_joined_network(run: Runner, root: Path) -> None:
    document = sh(root, "readlink /proc/self/ns/net")
    document["linux"]["namespaces"][2]["path"] = "/proc/self/ns/net"
    assert run(document) == (0, os.readlink("/proc/self/ns/net") + "\n")


def test_joined_pid_namespace_goes_through_a_helper(run: Runner, root: Path) -> None:
    document = sh(root, "readlink /proc/self/ns/pid; exit 3")
    document["linux"]["namespaces"][1]["path"] = "/proc/self/ns/pid"
    assert run(document) == (3, os.readlink("/proc/self/ns/pid") + "\n")


def test_seccomp(run: Runner, root: Path) -> None:
    for nnp in (True, False):
        document = sh(root, "mkdir /tmp/d", noNewPrivileges=nnp)
        rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
        document["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
        code, out = run(document)
        assert code == 1 and "No space left" in out


def test_hooks_in_order(run: Runner, root: Path, tmp_path: Path) -> None:
    log = tmp_path / "hooks.log"

    def hook(name: str) -> list[dict[str, Any]]:
        return [
            {"path": "/bin/sh", "args": ["sh", "-c", f"echo {name} $(cat) >> {log}"], "env": ["PATH=/bin"]}
        ]

    document = sh(root, "true")
    names = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]
    document["hooks"] = {name: hook(name) for name in names}
    document["hooks"]["startContainer"] = [{"path": "/bin/touch", "args": ["touch", "/started"]}]
    assert run(document)[0] == 0
    lines = log.read_text().splitlines()
    assert [line.split()[0] for line in lines] == names
    assert '"id":"test","status":"creating","pid":' in lines[0] and '"bundle":' in lines[0]
    assert (root / "started").exists()


def test_a_failing_hook_stops_the_container(run: Runner, root: Path) -> None:
    document = sh(root, "true")
    document["hooks"] = {"prestart": [{"path": "/bin/sh", "args": ["sh", "-c", "echo no; exit 3"]}]}
    with pytest.raises(StepFailed, match="prestart hook: exit status 3, output: no"):
        run(document)
    document["hooks"] = {"createContainer": [{"path": "/bin/sleep", "args": ["sleep", "30"], "timeout": 1}]}
    with pytest.raises(StepFailed, match="createContainer hook did not end in 1 s"):
        run(document)


def test_no_pivot(run: Runner, root: Path) -> None:
    code, out = run(sh(root, "ls /"), no_pivot=True)
    assert code == 0 and out.split() == sorted(["bin", "dev", "etc", "proc", "sys", "tmp"])


def test_cgroups(run: Runner, root: Path) -> None:
    from onggi.runtime import cgroups

    files = "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"  # v1, v2
    document = sh(root, f"cat /proc/self/cgroup; cat {files[0]} 2>&- || cat {files[1]}")
    document["mounts"].append(
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}
    )
    document["linux"]["resources"] = {"memory": {"limit": 64 << 20}}
    for private in (True, False):
        if not private:
            document["linux"]["namespaces"] = document["linux"]["namespaces"][:-1]
        code, out = run(document, layout=cgroups.detect(), cgroups_path=f"/onggi-test-{os.getpid()}/c")
        assert code == 0, out
        assert str(64 << 20) in out
        assert (f"/onggi-test-{os.getpid()}" in out) is not private
    for root_dir in [*cgroups.detect().v1_roots(), "/sys/fs/cgroup"]:
        if os.path.isdir(f"{root_dir}/onggi-test-{os.getpid()}"):
            os.rmdir(f"{root_dir}/onggi-test-{os.getpid()}")


def test_rootfs_propagation(run: Runner, root: Path) -> None:
    document = sh(root, "grep -c 'shared:' /proc/self/mountinfo")
    document["linux"]["rootfsPropagation"] = "shared"
    code, out = run(document)
    assert code == 0 and int(out) >= 1
