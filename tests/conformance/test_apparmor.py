"""AppArmor on both engines: the default profile, a user's own, none; what holds when other walls are down.

Debian's kernel has AppArmor, so scripts/test-v2 runs these.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import engines
from tests.conformance.pairs import IMAGE, Pair

ENABLED = Path("/sys/module/apparmor/parameters/enabled")
pytestmark = [
    pytest.mark.host_root,  # profiles are the kernel's, for all users
    pytest.mark.root,
    pytest.mark.peer,
    pytest.mark.skipif(
        not (
            ENABLED.exists()
            and ENABLED.read_text().startswith("Y")
            and Path("/sbin/apparmor_parser").exists()
        ),
        reason="needs a kernel with AppArmor switched on, and apparmor_parser",
    ),
]
RUN = ("run", "--rm", "--network", "none")
CURRENT = "/proc/self/attr/current"
MINE = "onggi-test-mine"


@pytest.fixture
def mine() -> Iterator[str]:
    """A profile of a user's own: all but reading /etc/passwd."""
    rules = "file, deny /etc/passwd r, signal, network, capability,"
    text = f"profile {MINE} flags=(attach_disconnected) {{ {rules} }}"
    subprocess.run(["apparmor_parser", "-Kr"], input=text, text=True, check=True)
    yield MINE
    subprocess.run(["apparmor_parser", "-KR"], input=text, text=True, check=True)


def test_the_default_profile(pair: Pair) -> None:
    assert pair(*RUN, IMAGE, "cat", CURRENT) == "docker-default (enforce)"
    assert pair(*RUN, "-u", "1000", "--init", IMAGE, "cat", CURRENT) == "docker-default (enforce)"
    assert (
        pair(*RUN, "--security-opt", "no-new-privileges", IMAGE, "cat", CURRENT) == "docker-default (enforce)"
    )
    assert "name=apparmor" in json.loads(pair("info", "-f", "{{json .SecurityOptions}}"))


def test_none_where_it_is_asked_for_and_where_privileged(pair: Pair) -> None:
    assert pair(*RUN, "--security-opt", "apparmor=unconfined", IMAGE, "cat", CURRENT) == "unconfined"
    assert pair(*RUN, "--privileged", IMAGE, "cat", CURRENT) == "unconfined"
    both = ("--privileged", "--security-opt", "apparmor=docker-default")
    assert pair(*RUN, *both, IMAGE, "cat", CURRENT) == "docker-default (enforce)"


def test_exec_and_inspect(pair: Pair) -> None:
    jar = pair("create", "--network", "none", IMAGE, "sleep", "1000")
    shown = ("inspect", "-f", "{{.AppArmorProfile}}", jar)
    try:
        assert pair(*shown) == ""
        pair("start", jar)
        assert pair(*shown) == "docker-default"
        assert pair("exec", jar, "cat", CURRENT) == "docker-default (enforce)"
        assert pair("exec", "--privileged", jar, "cat", CURRENT) == "docker-default (enforce)"
        pair("kill", "-s", "TERM", jar)
        pair("stop", "-t", "1", jar)
    finally:
        pair("rm", "-f", jar)


def test_a_profile_of_ones_own(pair: Pair, mine: str) -> None:
    flags = ("--security-opt", f"apparmor={mine}")
    assert pair(*RUN, *flags, IMAGE, "cat", CURRENT) == f"{mine} (enforce)"
    assert pair.fails(*RUN, *flags, IMAGE, "cat", "/etc/passwd")[0] == 1
    jar = pair("run", "-d", "--network", "none", *flags, IMAGE, "sleep", "1000")
    try:
        assert pair("inspect", "-f", "{{.AppArmorProfile}}", jar) == mine
        assert pair("exec", jar, "cat", CURRENT) == f"{mine} (enforce)"
        assert pair.fails("exec", jar, "cat", "/etc/passwd")[0] == 1
    finally:
        pair("rm", "-f", jar)


def test_a_profile_that_is_not_there(pair: Pair) -> None:
    code, why = pair.fails(*RUN, "--security-opt", "apparmor=onggi-nobody", IMAGE, "true")
    assert code in (125, 127)
    assert "apparmor" in why
    assert "no such file or directory" in why


def test_it_holds_where_capabilities_and_seccomp_do_not(pair: Pair) -> None:
    """Each of these works without the profile, so it is the profile that denies it."""
    weak = (
        "--cap-add",
        "ALL",
        "--security-opt",
        "seccomp=unconfined",
        "--security-opt",
        "systempaths=unconfined",
    )
    for attack in (
        "mount -t tmpfs none /tmp",
        "echo x > /proc/sys/kernel/hostname",
        "cat /sys/kernel/security/apparmor/profiles",
        "echo 0 > /proc/sys/vm/overcommit_ratio",
    ):
        open_ = (
            *weak,
            "--security-opt",
            "apparmor=unconfined",
            "-v",
            "/sys/kernel/security:/sys/kernel/security",
        )
        closed = (*weak, "-v", "/sys/kernel/security:/sys/kernel/security")
        if "vm/" not in attack:
            pair(*RUN, *open_, IMAGE, "sh", "-c", attack)
        assert pair.fails(*RUN, *closed, IMAGE, "sh", "-c", attack)[0] != 0, attack


def test_the_profile_comes_back_when_the_host_has_unloaded_it(pair: Pair) -> None:
    Path("/sys/kernel/security/apparmor/.remove").write_text("docker-default")
    assert pair(*RUN, IMAGE, "cat", CURRENT) == "docker-default (enforce)"


def test_a_step_of_a_build(onggi: engines.Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN cat {CURRENT} > /current\n")
    onggi.onggi("build", "--network", "none", "-t", "confined", str(tmp_path))
    assert onggi.onggi(*RUN, "confined", "cat", "/current").strip() == "docker-default (enforce)"
    onggi.onggi("rmi", "confined")


@pytest.mark.parametrize("runtime", ["onggi-runtime", "runc"])
def test_the_runtime_command(runtime: str, tmp_path: Path, mine: str) -> None:
    program = str(engines.TOP / ".venv/bin/onggi-runtime") if runtime == "onggi-runtime" else "runc"
    (tmp_path / "rootfs/bin").mkdir(parents=True)
    (tmp_path / "rootfs/proc").mkdir()
    shutil.copy("/bin/busybox", tmp_path / "rootfs/bin/busybox")
    subprocess.run([program, "spec"], cwd=tmp_path, check=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["process"] |= {
        "terminal": False,
        "args": ["/bin/busybox", "cat", CURRENT],
        "apparmorProfile": mine,
    }

    def run() -> subprocess.CompletedProcess[str]:
        (tmp_path / "config.json").write_text(json.dumps(config))
        command = [program, "--root", str(tmp_path / "state"), "run", "aa"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    done = run()
    assert (done.returncode, done.stdout.strip()) == (0, f"{mine} (enforce)"), done.stderr
    config["process"]["apparmorProfile"] = "onggi-nobody"
    done = run()
    assert done.returncode != 0
    assert "no such file or directory" in done.stderr
