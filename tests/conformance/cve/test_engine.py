"""Escapes and leaks through the engine: clients, images, `docker cp`, what other users of the host may see.

Each test is named after its CVE and is shown to fail on a build without the protection (builds.py).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from tests import engines
from tests.conformance.cve.builds import Build, Edit, held

pytestmark = pytest.mark.root
RUN = ("run", "--rm", "--network", "none")


def test_cve_2019_5736_everything_that_forks_runs_from_a_read_only_mount(room: Path) -> None:
    """Zygote and shims: whose /proc/PID/exe a container may meet."""

    def attack(build: Build) -> bool:
        with build.engine(room) as engine:
            engine.docker("run", "-d", "--network", "none", engines.BUSYBOX, "sleep", "1000")
            assert engine.process is not None
            pids = [pid for pid in engines.processes(engine) if pid != engine.process.pid]
            assert len(pids) >= 2, "the zygote and a shim"
            return any(not _read_only(f"/proc/{pid}/exe") for pid in pids)

    held(
        attack,
        room,
        Edit("engine/interpreter.py", "set_=mounts.MOUNT_ATTR_RDONLY, propagation", "propagation"),
    )


def _read_only(path: str) -> bool:
    try:
        fd = os.open(path, os.O_PATH)
    except FileNotFoundError:
        return True  # the process has ended meanwhile
    try:
        return bool(os.fstatvfs(fd).f_flag & os.ST_RDONLY)
    finally:
        os.close(fd)


COPY = """
import io, os
from onggi.errors import OnggiError
from onggi.images import archive
top = sys.argv[1]
root_fd = os.open(top + "/root", os.O_PATH | os.O_DIRECTORY)
real, turns = archive.openat2, []

def openat2(dir_fd, path, flags, **how):
    # the container turns its directory into a link just before each look-up
    turns.append(path)
    os.rename(top + "/root/data", top + "/root/kept")
    os.symlink(top + "/host", top + "/root/data")
    try:
        return real(dir_fd, path.lstrip(b"/") or b".", flags, **how)
    finally:
        os.unlink(top + "/root/data")
        os.rename(top + "/root/kept", top + "/root/data")

archive.openat2 = openat2
out = io.BytesIO()
try:
    archive.get(root_fd, "/data/file", out, container="jar")
except OnggiError:
    pass
assert turns
print("secret" if b"the host's" in out.getvalue() else "kept")
"""


def test_cve_2018_15664_a_link_made_during_a_copy_leads_nowhere(room: Path) -> None:
    (room / "root" / "data").mkdir(parents=True)
    (room / "host").mkdir()
    (room / "root" / "data" / "file").write_text("the container's")
    (room / "host" / "file").write_text("the host's")

    def attack(build: Build) -> bool:
        return build.python(COPY, str(room)).strip() == "secret"

    resolve = "RESOLVE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS"
    held(
        attack,
        room,
        Edit("images/tree.py", resolve, "RESOLVE = 0 * (RESOLVE_IN_ROOT + RESOLVE_NO_MAGICLINKS)"),
    )


NAMES = """
import os
from onggi.images import accounts
root_fd = os.open(sys.argv[1], os.O_PATH | os.O_DIRECTORY)
try:
    accounts.resolve_user(root_fd, "ana")
except Exception:
    pass
print("loaded" if "libnss_evil" in open("/proc/self/maps").read() else "clean")
"""


def test_cve_2019_14271_no_library_of_the_container_is_loaded(room: Path) -> None:
    """Names were looked up by glibc inside a chroot: it loads what the container's nsswitch.conf names."""
    root = room / "root"
    for name in ("etc", "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "proc"):
        (root / name).mkdir(parents=True)
    (root / "etc/nsswitch.conf").write_text("passwd: evil\ngroup: evil\n")
    (root / "etc/passwd").write_text("bob:x:1:1::/:/bin/sh\n")
    found = next(Path("/usr/lib").glob("*/libnss_compat.so.2"), None)
    assert found is not None, "glibc's libnss_compat serves as the evil library"
    for directory in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"):
        (root / directory / "libnss_evil.so.2").write_bytes(found.read_bytes())

    def attack(build: Build) -> bool:
        code = NAMES
        if build.src.name.startswith("weak-"):  # /proc is not in the chroot: opened before
            code = code.replace("import os\n", "import os\nmaps = open('/proc/self/maps')\n")
            code = code.replace('open("/proc/self/maps").read()', "maps.read()")
        return build.python(code, str(root)).strip() == "loaded"

    first = '    who, _, group = user.partition(":")\n    number = _number(who)\n    found = None\n'
    chrooted = "    import pwd\n    os.fchdir(root_fd)\n    os.chroot('.')\n    pwd.getpwnam(user)\n"
    held(attack, room, Edit("images/accounts.py", first, chrooted.replace("root_fd", "os.open(f'/proc/self/fd/{root_fd}', os.O_RDONLY)") + first))  # fmt: skip  # noqa: E501


def test_cve_2020_15257_no_socket_of_a_shim_is_in_the_hosts_network_namespace(room: Path) -> None:
    """Abstract sockets belong to a network namespace: `--network host` would reach the shim's."""

    def attack(build: Build) -> bool:
        with build.engine(room) as engine:
            name = "jar"
            engine.docker("run", "-d", "--name", name, "--network", "host", engines.BUSYBOX, "sleep", "1000")
            inodes = set()
            for pid in engines.processes(engine):
                with contextlib.suppress(FileNotFoundError):  # ended meanwhile
                    for fd in list(Path(f"/proc/{pid}/fd").iterdir()):
                        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                            inodes.add(os.readlink(fd).removeprefix("socket:[").rstrip("]"))
            seen = engine.docker("exec", name, "cat", "/proc/net/unix").splitlines()[1:]
            abstract = [line for line in seen if line.split()[-1].startswith("@")]
            return any(line.split()[6] in inodes for line in abstract)

    held(
        attack,
        room,
        Edit("spawn/shim.py", "self.listener = _socket.socket(fileno=fd)",
             "self.listener = _socket.socket(fileno=fd); self.second = _socket.socket(_socket.AF_UNIX); "
             "self.second.bind(chr(0) + self.id); self.second.listen(1)"),
    )  # fmt: skip


def test_cve_2021_41091_other_users_of_the_host_see_no_layer_and_no_root(room: Path) -> None:
    """A set-user-id program in a container's root is the host's, too, for whoever can walk there."""

    def attack(build: Build) -> bool:
        with build.engine(room) as engine:
            engine.docker("run", "-d", "--network", "none", engines.BUSYBOX, "sleep", "1000")
            found = []
            for parent, _, files in os.walk(engine.root):
                found += [f"{parent}/{name}" for name in files]
            assert any(path.endswith("bin/busybox") for path in found)
            script = (
                "import os, sys; print(sum(os.access(path, os.R_OK) for path in sys.stdin.read().split()))"
            )
            seen = subprocess.run(
                ["python3", "-c", script],
                input="\n".join(found),
                text=True,
                capture_output=True,
                user=65534,
                group=65534,
                extra_groups=[],
            )
            assert seen.returncode == 0, seen.stderr
            return int(seen.stdout) > 0

    held(
        attack,
        room,
        Edit("engine/reconcile.py", "(paths.root, 0o710)", "(paths.root, 0o755)"),
        Edit("images/snapshots/rows.py", "os.chmod(root, 0o700)", "os.chmod(root, 0o755)"),
        Edit("images/snapshots/rows.py", "os.mkdir(directory, 0o700)", "os.mkdir(directory, 0o755)"),
    )


def test_cve_2022_0492_no_user_namespace_of_the_containers_own(room: Path) -> None:
    """It would give the rights to mount a hierarchy of cgroup v1, with its release_agent, and much else."""
    script = "unshare -U -r -m mount -t tmpfs x /tmp && echo mounted"

    def attack(build: Build) -> bool:
        with build.engine(room) as engine:
            done = engine.run("docker", *RUN, engines.BUSYBOX, "sh", "-c", script, check=False)
            return "mounted" in done.stdout

    held(
        attack,
        room,
        Edit("engine/oci/security.py", 'if wanted == "unconfined":', "if True:"),
    )


def test_cve_2022_24769_no_inheritable_capabilities_by_default(room: Path) -> None:
    def attack(build: Build) -> bool:
        with build.engine(room) as engine:
            shown = "grep CapInh /proc/self/status"
            engine.docker("run", "-d", "--name", "jar", "--network", "none", engines.BUSYBOX, "sleep", "1000")
            seen = engine.docker("exec", "jar", "sh", "-c", shown)
            seen += engine.docker("exec", "--privileged", "jar", "sh", "-c", shown)
            seen += engine.docker(*RUN, "--cap-add", "NET_ADMIN", engines.BUSYBOX, "sh", "-c", shown)
            assert seen.count("CapInh") == 3
            return seen.count("0000000000000000") != 3

    sets = '"capabilities": {"bounding": capabilities,'
    held(attack, room, Edit("engine/oci/process.py", sets, f'{sets} "inheritable": capabilities,'))


def test_cve_2022_36109_the_own_group_is_among_the_groups(room: Path) -> None:
    """setgroups(2) without it gave away what a file's mode denies to the group."""

    def attack(build: Build) -> bool:
        with build.engine(room) as engine:
            seen = engine.docker(
                *RUN, "-u", "1000:1000", engines.BUSYBOX, "grep", "Groups", "/proc/self/status"
            )
            return "1000" not in seen.split()

    own = "dict.fromkeys((account.gid, *account.groups, *more))"
    held(attack, room, Edit("engine/image_users.py", own, "dict.fromkeys((*account.groups, *more))"))


def test_cve_2021_21284_the_remapped_root_has_nothing_of_the_engines(room: Path) -> None:
    """With --userns-remap dockerd gave its directories to the remapped root, who could change layers and the
    engine's own files from outside. Ours belong to root, and are mapped when they are mounted.
    """
    first = 2_000_000_000

    def attack(build: Build) -> bool:
        etc = room / "etc"
        subprocess.run(["cp", "-a", "/etc", str(etc)], check=True)
        for name in ("subuid", "subgid"):
            (etc / name).write_text(f"nobody:{first}:65536\nnogroup:{first}:65536\n")
        own = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc; exec "$@"', str(etc)]
        with build.engine(room) as engine:
            engine.stop()
            engine.command[:0] = own
            engine.command.append("--userns-remap=nobody")
            engine.start()
            engine.docker(*RUN, engines.BUSYBOX, "sh", "-c", "touch /made; chown 5 /made")
            engine.docker("run", "-d", "--network", "none", "-v", "kept:/v", engines.BUSYBOX, "sleep", "1000")
            owned = []
            for parent, directories, files in os.walk(engine.root):
                for path in (f"{parent}/{name}" for name in (*directories, *files)):
                    with contextlib.suppress(FileNotFoundError):  # it is just being deleted
                        owned += [path] if first <= os.lstat(path).st_uid < first + 65536 else []
            words = [
                "setpriv",
                f"--reuid={first}",
                f"--regid={first}",
                "--clear-groups",
                "ls",
                str(engine.root),
            ]
            seen = subprocess.run(words, capture_output=True).returncode == 0
        subprocess.run(["rm", "-rf", str(etc)], check=True)
        return bool(owned) or seen

    for parent in (room, *room.parents):
        if str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    held(attack, room, Edit("engine/reconcile.py", "(paths.root, 0o710)", "(paths.root, 0o755)"))
