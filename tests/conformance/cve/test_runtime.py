"""Escapes through the runtime: a hostile root file system, image or document against `onggi-runtime`.

Each test is named after its CVE and is shown to fail on a build without the protection (builds.py).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conformance.cve.builds import Build, Edit, bundle, document, held, mount

pytestmark = pytest.mark.root

IN_ROOT = (
    Edit("kernel/files.py", "resolve: int = RESOLVE_IN_ROOT", "resolve: int = 0"),
    # still below the root's descriptor, so that a weakened build does not write all over the host
    Edit(
        "kernel/files.py",
        "raw = encode(path)\n    for _",
        'raw = encode(path).lstrip(b"/") or b"."\n    for _',
    ),
)


def test_cve_2019_5736_the_interpreter_is_never_opened_for_writing(room: Path) -> None:
    """A container keeps a descriptor of /proc/PID/exe from before execve, and writes when it is free."""
    code = """
import errno, os, shutil
from onggi.engine.interpreter import protected
victim = sys.argv[1]; shutil.copy("/bin/busybox", victim)
fd = protected(victim); os.set_inheritable(fd, True)
pid = os.posix_spawn(f"/proc/self/fd/{fd}", ["sleep", "100"], {})
os.close(fd)
held = os.open(f"/proc/{pid}/exe", os.O_PATH)
os.kill(pid, 9); os.waitpid(pid, 0)
try:
    os.write(os.open(f"/proc/self/fd/{held}", os.O_WRONLY), b"#!evil")
    print("written")
except OSError as error:
    print(errno.errorcode[error.errno])
"""

    def attack(build: Build) -> bool:
        return build.python(code, str(room / "victim")).strip() != "EROFS"

    held(
        attack,
        room,
        Edit("engine/interpreter.py", "set_=mounts.MOUNT_ATTR_RDONLY, propagation", "propagation"),
    )


@pytest.mark.parametrize("number", ["2019_16884", "2025_52881"])
def test_cve_writes_to_proc_reach_the_kernel(room: Path, number: str) -> None:
    """A file system of the attacker's on /proc takes what is written there: security labels, sysctls."""
    sysctl = "net.ipv4.ip_default_ttl"

    def attack(build: Build) -> bool:
        made = bundle(room)
        decoy = made / "decoy" / "sys/net/ipv4"
        decoy.mkdir(parents=True)
        (decoy / "ip_default_ttl").write_text("0")
        mounts = [mount("/proc", "bind", str(made / "decoy"), "bind"), mount("/real", "proc")]
        done = build.run(
            made, document("cat", "/real/sys/net/ipv4/ip_default_ttl", mounts=mounts, sysctl={sysctl: "77"})
        )
        if done[0] != 0:
            assert "is not of type proc" in done[1], done
            return False
        return done[1].strip() != "77"

    held(
        attack,
        room,
        Edit("spawn/mounting.py", 'if fstype != "proc":', 'if fstype == "none":'),
        Edit("spawn/state.py", "fd = files.openat2(self.open_proc(), path, os.O_WRONLY, resolve=resolve)",
             'fd = files.openat2(self.root_fd, "proc/" + path, os.O_WRONLY)'),
    )  # fmt: skip


@pytest.mark.parametrize("number", ["2021_30465", "2024_45310"])
@pytest.mark.parametrize("kind", ["directory", "file"])
def test_cve_mount_points_are_made_inside_the_root(room: Path, number: str, kind: str) -> None:
    """A link in the root leads to the host where the mount point is looked up, or made."""

    def attack(build: Build) -> bool:
        made = bundle(room)
        outside = made / "outside"
        outside.mkdir()
        (made / "rootfs" / "data").symlink_to(outside)
        source = made / "source"
        source.mkdir() if kind == "directory" else source.write_text("")
        mounts = [mount("/proc", "proc"), mount("/data/x", "bind", str(source), "bind")]
        build.run(made, document("true", mounts=mounts))
        return any(outside.iterdir())

    held(attack, room, *IN_ROOT)


def test_cve_2022_0811_a_sysctl_is_one_value_of_a_namespace(room: Path) -> None:
    """`name=value+other.name=value` and dots in a name reached kernel.core_pattern."""
    code = """
from onggi.errors import InvalidParameter
from onggi.kernel.namespaces import CLONE_NEWIPC, CLONE_NEWNET
from onggi.runtime.compile.sysctls import sysctls
bad = ("kernel.core_pattern", "net/../kernel/core_pattern", "net.ipv4.../../kernel/core_pattern",
       "net..../kernel.core_pattern", "kernel.shm_rmid_forced/../core_pattern", "/kernel/core_pattern")
for name in bad:
    try:
        for step in sysctls({"sysctl": {name: "|/evil"}}, CLONE_NEWIPC | CLONE_NEWNET, ""):
            # written below /proc/sys: where does the kernel take it?
            import posixpath
            if not posixpath.normpath("/sys/" + step[1]).startswith(("/sys/net/", "/sys/kernel/shm")):
                print(name)
    except InvalidParameter:
        pass
steps = sysctls({"sysctl": {"kernel.shm_rmid_forced": "1+kernel.core_pattern=|/evil"}}, CLONE_NEWIPC, "")
if [step[:2] for step in steps] != [("sysctl", "kernel/shm_rmid_forced")]:
    print("the value is more than a value")
"""

    def attack(build: Build) -> bool:
        return build.python(code) != ""

    dots = 'if ".." in path.split("/") or path.startswith("/"):'
    held(attack, room, Edit("runtime/compile/sysctls.py", dots, "if False:"))


def test_cve_2023_25809_a_read_only_cgroup_mount_is_read_only_in_a_user_namespace(room: Path) -> None:
    def attack(build: Build) -> bool:
        mounts = [mount("/proc", "proc"), mount("/cg", "cgroup", "cgroup", "ro")]
        made = document("sh", "-c", "for d in /cg /cg/*; do mkdir $d/evil && echo made; done", mounts=mounts)
        ids = [{"containerID": 0, "hostID": 0, "size": 65536}]
        made["linux"].update(uidMappings=ids, gidMappings=ids)
        made["linux"]["namespaces"].append({"type": "user"})
        place = bundle(room)
        code, text = build.run(place, made)
        for parent, names, _ in os.walk("/sys/fs/cgroup"):  # others' may vanish meanwhile: glob would fail
            if "evil" in names and "/onggi-cve" in parent:
                os.rmdir(f"{parent}/evil")
        assert "mkdir" in text or "made" in text, (code, text)
        return "made" in text

    held(attack, room, Edit("spawn/mounting.py", "    (mounts.MS_RDONLY, mounts.MOUNT_ATTR_RDONLY),\n", ""))


@pytest.mark.parametrize("number", ["2019_19921", "2023_27561", "2023_28642"])
@pytest.mark.parametrize("target", ["/proc", "/sys"])
def test_cve_proc_and_sys_are_no_links(room: Path, number: str, target: str) -> None:
    """Who can turn the link round takes the masks and labels of the container away with it."""

    def attack(build: Build) -> bool:
        made = bundle(room)
        (made / "rootfs" / "elsewhere").mkdir()
        (made / "rootfs" / target[1:]).symlink_to("elsewhere")
        fstype = {"/proc": "proc", "/sys": "sysfs"}[target]
        code, text = build.run(made, document("true", mounts=[mount(target, fstype)]))
        assert code == 0 or "must be mounted on an ordinary directory" in text, text
        return code == 0

    held(attack, room, Edit("spawn/mounting.py", 'if fstype in ("proc", "sysfs"):', "if False:"))


def test_cve_2024_21626_no_directory_of_the_host_is_reached_through_a_descriptor(room: Path) -> None:
    def attack(build: Build) -> bool:
        made = bundle(room)
        for fd in range(3, 12):
            one = document("ls", "../../../../../../proc/1/root/etc/debian_version", "etc/debian_version")
            one["process"]["cwd"] = f"/proc/self/fd/{fd}"
            if "debian_version\n" in build.run(made, one)[1]:
                return True
        return False

    check = """    try:
        fd = files.openat2(root_fd, path, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        if not make:
            raise
        fd = inside.make_directory(root_fd, path)
"""
    closing = "    files.close_all_but({child.sock.fileno(), child.fifo_fd, *child.keep})\n    child.root_fd = child.proc_fd = -1\n\n\ndef chroot"  # noqa: E501
    gone = """        here = ""
    if not here.startswith("/"):"""
    held(
        attack,
        room,
        Edit("spawn/identity.py", check, "    fd = os.open(path, os.O_PATH | os.O_DIRECTORY)\n"),
        Edit("spawn/identity.py", gone, gone.replace('not here.startswith("/")', "False")),
        Edit("spawn/mounting.py", closing, "    child.root_fd = child.proc_fd = -1\n\n\ndef chroot"),
    )


def test_cve_2025_31133_a_masked_file_is_covered_by_the_hosts_null_device(room: Path) -> None:
    """The container's /dev/null is a link: what it leads to would be bound over the masked file, writable."""

    def attack(build: Build) -> bool:
        made = bundle(room)
        (made / "rootfs" / "dev").mkdir()
        (made / "rootfs" / "dev" / "null").symlink_to("/secret")
        (made / "rootfs" / "secret").write_text("not masked")
        code, text = build.run(made, document("cat", "/proc/version", maskedPaths=["/proc/version"]))
        assert code == 0, text
        return text != ""

    held(
        attack,
        room,
        Edit("spawn/mounting.py", "null_fd = _null()", 'null_fd = inside.find(child.root_fd, "/dev/null")'),
    )


def test_cve_2025_52565_the_console_is_the_terminal_and_nothing_that_a_path_leads_to(room: Path) -> None:
    """/dev/pts/0 is a link of the attacker's to a file of /proc, which would be bound over /dev/console."""

    def attack(build: Build) -> bool:
        made = bundle(room)
        (made / "pts").mkdir()
        (made / "pts" / "ptmx").symlink_to("../real/ptmx")
        (made / "pts" / "0").symlink_to("/proc/version")
        one = document(
            "stat",
            "-c",
            "%F",
            "/dev/console",
            mounts=[
                mount("/proc", "proc"),
                mount("/dev", "tmpfs", "tmpfs", "mode=755"),
                mount("/dev/real", "devpts", "devpts", "newinstance", "ptmxmode=0666"),
                mount("/dev/pts", "bind", str(made / "pts"), "bind"),
            ],
        )
        one["process"]["terminal"] = True
        code, text = build.run(made, one, terminal=True)
        assert code == 0, text
        return "character" not in text

    by_path = 'tree_fd = mounts.clone_tree(inside.find(child.root_fd, "/dev/pts/0"))'
    held(attack, room, Edit("spawn/nodes.py", "tree_fd = mounts.clone_tree(peer_fd)", by_path))


def test_cve_2022_29162_an_exec_inherits_no_capability(room: Path) -> None:
    """Inheritable capabilities come back at the execve of a file that has some of its own."""

    def attack(build: Build) -> bool:
        made = bundle(room)
        one = document("grep", "CapInh", "/proc/self/status")
        return build.run(made, one)[1].split() != ["CapInh:", "0000000000000000"]

    granted = "inheritable & mine"
    held(
        attack,
        room,
        Edit("spawn/identity.py", f"capabilities.set_(effective & limit, limit, {granted})",
             "capabilities.set_(effective & limit, limit, limit)"),
    )  # fmt: skip
