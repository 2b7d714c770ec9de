"""Security options as clients send them, on both engines: what a user asked for is what the container has."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest

from tests import engines
from tests.conformance.pairs import IMAGE, Pair

pytestmark = [pytest.mark.root, pytest.mark.peer]
RUN = ("run", "--rm", "--network", "none")


@pytest.mark.host_root
def test_system_paths_are_open_only_where_it_was_asked_for(pair: Pair) -> None:
    """The client sends `systempaths=unconfined` as two empty lists: absent and empty mean opposite things."""
    masked = "grep -c ' /sys/firmware ' /proc/self/mountinfo; "
    masked += "(: > /proc/sys/kernel/hostname) 2>/dev/null; echo $?"
    assert pair(*RUN, IMAGE, "sh", "-c", masked).split() == ["1", "1"]
    opened = pair(*RUN, "--security-opt", "systempaths=unconfined", IMAGE, "sh", "-c", masked)
    assert opened.split() == ["0", "0"]


@pytest.mark.cgroups
def test_a_cgroup_parent_is_never_above_the_top(pair: Pair) -> None:
    """CVE-2022-0811's path: dots would leave the hierarchy, or enter another one."""
    got = pair(*RUN, "--cgroup-parent", "/../../onggi-dots", IMAGE, "cat", "/proc/self/cgroup")
    assert "/onggi-dots/" in got
    assert ".." not in got
    for parent, names, _ in os.walk("/sys/fs/cgroup"):  # other engines' may vanish meanwhile: glob would fail
        if "onggi-dots" in names:  # a parent is the user's own, and stays
            engines.until(lambda parent=parent: removed(Path(parent) / "onggi-dots"))  # type: ignore[misc]


def removed(directory: Path) -> bool:
    """Not while the cgroup of a container is below it."""
    with contextlib.suppress(OSError):
        directory.rmdir()
    return not directory.exists()


def test_a_missing_peer_is_not_a_missing_image(pair: Pair) -> None:
    for flag in ("--pid", "--ipc"):
        code, why = pair.fails(*RUN[:2], flag, "container:nobody-here", IMAGE, "true")
        assert code == 125
        assert "No such container: nobody-here" in why
        assert "Unable to find image" not in why


def test_a_profile_of_before_linux_5_8_starts(pair: Pair, tmp_path: Path) -> None:
    """The runtime itself may need no system call that the user's profile does not have."""
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["faccessat2", "openat2", "close_range"], "action": "SCMP_ACT_ERRNO"}],
    }
    path = tmp_path / "old.json"
    path.write_text(json.dumps(profile))
    assert pair(*RUN, "--security-opt", f"seccomp={path}", IMAGE, "echo", "ran") == "ran"


def test_isolation_of_windows_is_refused(pair: Pair) -> None:
    if pair.client == "onggi":
        pytest.skip("the onggi client has no --isolation: the flag is for Windows")
    code, why = pair.fails(*RUN, "--isolation", "hyperv", IMAGE, "true")
    assert code == 125
    assert "solation" in why


def test_storage_options_are_refused_where_they_cannot_be_held(pair: Pair) -> None:
    """A size that nobody enforces is worse than none."""
    code, why = pair.fails(*RUN, "--storage-opt", "size=10M", IMAGE, "true")
    assert code == 125
    assert "--storage-opt is supported only for overlay over xfs with 'pquota' mount option" in why
    assert "Unknown option nonsense" in pair.fails(*RUN, "--storage-opt", "nonsense=1", IMAGE, "true")[1]


def test_a_host_without_apparmor_runs_what_names_a_profile(pair: Pair) -> None:
    if Path("/sys/module/apparmor/parameters/enabled").exists():
        pytest.skip("this kernel has AppArmor")
    assert pair(*RUN, "--security-opt", "apparmor=docker-default", IMAGE, "echo", "ran") == "ran"


@pytest.mark.cgroups
def test_warnings_of_create(pair: Pair) -> None:
    done = pair.engine.run(pair.client, *RUN, "--oom-kill-disable", IMAGE, "true")
    assert "OOM killer is disabled for the container, but no memory limit is set" in done.stderr
