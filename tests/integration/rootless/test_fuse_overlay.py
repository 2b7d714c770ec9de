"""fuse-overlayfs(1) in the kernel's place: what it shows is right, and its programs leave nothing.

Where the kernel mounts overlays for users the driver is asked for by name. Where it does not, as in a home
that lies on an overlay itself (a container's root), it is chosen, and marks what is gone by files.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from onggi.errors import InvalidParameter
from onggi.images.snapshots import detect
from onggi.store.database import Database
from onggi.store.trash import Trash
from tests import engines, rootless
from tests.conftest import ordinary_user
from tests.engines import BUSYBOX, until

pytestmark = pytest.mark.root

NONE = ("--network", "none")
DRIVER = "fuse-overlayfs"
DEVICE = Path("/dev/fuse")


@pytest.fixture(scope="module")
def everybodys_device() -> Iterator[None]:
    """udev gives /dev/fuse to everybody (50-udev-default.rules); a machine without udev does not."""
    if shutil.which(DRIVER, path=detect.PROGRAM_PATH) is None:
        pytest.skip("needs fuse-overlayfs (Debian: fuse-overlayfs)")
    if not DEVICE.exists() and shutil.which("modprobe"):
        subprocess.run(["modprobe", "fuse"], check=False, capture_output=True)
    if not DEVICE.exists():
        pytest.skip("needs /dev/fuse (CONFIG_FUSE_FS)")
    mode = stat.S_IMODE(DEVICE.stat().st_mode)
    DEVICE.chmod(0o666)
    yield
    DEVICE.chmod(mode)


@contextlib.contextmanager
def on_an_overlay(home: Path, place: Path) -> Iterator[None]:
    """What the kernel takes no upper directory from."""
    for name in ("lower", "upper", "work"):
        (place / name).mkdir()
    options = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(home)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(home)], check=True)


@pytest.fixture(scope="module", params=["asked", "chosen"])
def users_engine(
    request: pytest.FixtureRequest, everybodys_device: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[rootless.Engine]:
    with contextlib.ExitStack() as stack:
        who = stack.enter_context(ordinary_user())
        flags: list[str] = ["--storage-driver", DRIVER]
        if request.param == "chosen":
            stack.enter_context(on_an_overlay(who.home, tmp_path_factory.mktemp("overlay")))
            os.chown(who.home, who.uid, who.gid)
            who.home.chmod(0o711)
            who.runtime_dir.mkdir(mode=0o700)
            os.chown(who.runtime_dir, who.uid, who.gid)
            flags = []
        engine = stack.enter_context(rootless.onggi(who, *flags))
        engines.import_busybox(engine)
        yield engine


@pytest.fixture
def engine(users_engine: rootless.Engine) -> Iterator[rootless.Engine]:
    yield users_engine
    users_engine.remove_all()
    until(lambda: not programs(users_engine))


def programs(engine: rootless.Engine) -> list[int]:
    """Those that serve a mount of this engine's."""
    found = []
    for pid in rootless.processes(engine.who.uid):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"/fuse-overlayfs"):
                found.append(pid)
    return found


def test_a_program_serves_a_root_as_long_as_it_is_there(engine: rootless.Engine) -> None:
    assert engine.docker("info", "-f", "{{.Driver}}") == f"{DRIVER}\n"
    script = (
        "grep ' / / ' /proc/self/mountinfo; ls /proc | grep -c '^[0-9]'; cat /proc/mounts | grep -c overlayfs"
    )
    said = engine.onggi("run", "--rm", *NONE, BUSYBOX, "sh", "-c", script).splitlines()
    assert f" - fuse.{DRIVER} {DRIVER} rw,user_id=0,group_id=0,default_permissions,allow_other" in said[0]
    assert int(said[1]) <= 4, "the program is a process of the container's"
    assert said[2] == "1"
    until(lambda: not programs(engine))
    engine.onggi("run", "-d", *NONE, "--name", "one", BUSYBOX, "sleep", "1000")
    assert len(programs(engine)) == 1
    engine.onggi("rm", "-f", "one")
    until(lambda: not programs(engine))


def test_it_outlives_the_engine(engine: rootless.Engine) -> None:
    engine.onggi("run", "-d", *NONE, "--name", "one", BUSYBOX, "sleep", "1000")
    engine.onggi("exec", "one", "sh", "-c", "echo before > /kept")
    served = programs(engine)
    engine.kill()
    assert programs(engine) == served
    engine.start()
    assert engine.onggi("exec", "one", "sh", "-c", "echo after >> /kept; cat /kept") == "before\nafter\n"
    assert programs(engine) == served


def test_a_killed_program_takes_its_root_with_it_and_nothing_else(engine: rootless.Engine) -> None:
    for name in ("one", "two"):
        engine.onggi("run", "-d", *NONE, "--name", name, BUSYBOX, "sleep", "1000")
        if name == "one":
            (victim,) = programs(engine)
    engine.onggi("exec", "one", "sh", "-c", "echo 1 > /kept")
    os.kill(victim, signal.SIGKILL)
    refused = engine.run("onggi", "exec", "one", "ls", "/home", check=False)
    assert refused.returncode != 0
    assert engine.onggi("exec", "two", "ls", "/home") == "app\n"
    engine.onggi("restart", "-t", "0", "one")
    assert engine.onggi("exec", "one", "cat", "/kept") == "1\n"


def test_what_was_written_is_on_disk_at_once(engine: rootless.Engine) -> None:
    """commit, diff and cp of a container that runs; nothing waits in the kernel's cache."""
    engine.onggi("run", "-d", *NONE, "--name", "one", BUSYBOX, "sleep", "1000")
    engine.onggi(
        "exec", "one", "sh", "-c", "seq 100000 > /written; rm -r /home; mkdir /home; echo new > /home/f"
    )
    wanted = {"C /home", "D /home/app", "A /home/f", "A /written"}
    assert wanted <= set(engine.onggi("diff", "one").splitlines())
    engine.onggi("commit", "one", "one:x")
    script = "wc -l < /written; ls -A /home"
    assert engine.onggi("run", "--rm", *NONE, "one:x", "sh", "-c", script).split() == ["100000", "f"]
    copied = engine.onggi("cp", "one:/home/f", "-")
    assert "new\n" in copied
    engine.onggi("stop", "-t", "0", "one")
    assert "new\n" in engine.onggi("cp", "one:/home/f", "-")
    (engine.who.home / "given").write_text("given\n")
    engine.onggi("cp", str(engine.who.home / "given"), "one:/home/given")
    engine.onggi("start", "one")
    assert engine.onggi("exec", "one", "cat", "/home/given") == "given\n"
    engine.remove_all()
    engine.onggi("rmi", "one:x")


def test_what_it_marks_is_in_no_layer(engine: rootless.Engine, tmp_path: Path) -> None:
    """The names and attributes that it writes beside a user's are its own; another driver shows the same."""
    engine.onggi(
        "run", *NONE, "--name", "one", BUSYBOX, "sh", "-c", "mkdir /d; touch /d/a /d/b; chmod 700 /home"
    )
    engine.onggi("commit", "one", "one:x")
    script = "rm -r /d; mkdir /d; touch /d/c; rm /bin/env; touch /home/x"
    engine.onggi("run", *NONE, "--name", "two", "one:x", "sh", "-c", script)
    engine.onggi("commit", "two", "two:x")
    saved = engine.who.home / "two.tar"
    engine.onggi("save", "-o", str(saved), "two:x")
    assert b"fuseoverlayfs" not in saved.read_bytes()
    look = ("sh", "-c", "find / -xdev -name '.wh*'; ls -A /d /home; stat -c %a /home; ls /bin/env 2>&1; true")
    shown = engine.onggi("run", "--rm", *NONE, "two:x", *look)
    assert shown.split("\n")[:3] == ["/d:", "c", ""]
    shutil.move(saved, tmp_path / "two.tar")
    for driver in ("overlay2", "vfs"):
        with engines.onggi(tmp_path / driver, "--storage-driver", driver) as other:
            other.onggi("load", "-i", str(tmp_path / "two.tar"))
            assert other.onggi("run", "--rm", *NONE, "two:x", *look) == shown
    assert "No fault." in engine.onggi("system", "check")
    engine.remove_all()
    for name in ("two:x", "one:x"):
        engine.onggi("rmi", name)


def test_mounts_beside_the_root(engine: rootless.Engine) -> None:
    """Images, directories of images, and copy-on-write of a directory of the user's."""
    source = engine.who.home / "source"
    source.mkdir()
    (source / "file").write_text("mine\n")
    os.chown(source, engine.who.uid, engine.who.gid)
    flags = (
        *("--mount", f"type=image,src={BUSYBOX},dst=/image"),
        *("--mount", f"type=image,src={BUSYBOX},dst=/part,image-subpath=home"),
        *("-v", f"{source}:/copy:O"),
    )
    script = "ls /image/home /part; echo changed > /copy/file; cat /copy/file"
    said = engine.onggi("run", "--rm", *NONE, *flags, BUSYBOX, "sh", "-c", script)
    assert said.split() == ["/image/home:", "app", "/part:", "app", "changed"]
    assert (source / "file").read_text() == "mine\n"
    odd = engine.who.home / "a:b"
    odd.mkdir()
    refused = engine.run(
        "onggi", "run", "--rm", *NONE, "--mount", f"type=bind,src={odd},dst=/copy,bind-copy-on-write",
        BUSYBOX, "true", check=False,
    )  # fmt: skip
    assert "takes no colon" in refused.stderr


def test_a_build(engine: rootless.Engine) -> None:
    context = engine.who.home / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        f"FROM {BUSYBOX} AS one\nRUN rm -r /home && mkdir -p /home/new && echo 1 > /home/new/file\n"
        f"FROM {BUSYBOX}\nCOPY --from=one /home /home\n"
        "RUN --mount=type=bind,from=one,source=/home/new,target=/seen,rw cp /seen/file /copied; rm /seen/*\n"
        "RUN rm /copied && ls -A /home > /list\n"
    )
    engine.onggi("build", "-t", "built:x", str(context))
    said = engine.onggi("run", "--rm", *NONE, "built:x", "sh", "-c", "cat /list; ls /copied 2>&1; true")
    assert said.split("\n")[:3] == ["app", "new", "ls: /copied: No such file or directory"]
    until(lambda: not programs(engine))
    engine.onggi("rmi", "built:x")


def test_a_root_keeps_the_driver_that_made_its_layers(engine: rootless.Engine) -> None:
    engine.stop()
    flagged = list(engine.command)
    try:
        engine.command[:] = [word for word in flagged if word not in ("--storage-driver", DRIVER)]
        engine.start()
        assert engine.docker("info", "-f", "{{.Driver}}") == f"{DRIVER}\n"
        engine.stop()
        engine.command += ["--storage-driver", "vfs"]
        with pytest.raises(RuntimeError, match=rf"made by {DRIVER}; remove them first, or use another root"):
            engine.start()
    finally:
        engine.command[:] = flagged
        engine.start()


def test_without_the_program_layers_are_copied(
    everybodys_device: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine has it: it is looked for where it is not."""
    (tmp_path / "home").mkdir()
    (tmp_path / "overlay").mkdir()
    root = str(tmp_path / "home/s")
    with on_an_overlay(tmp_path / "home", tmp_path / "overlay"), Database(str(tmp_path / "db")) as database:
        trash = Trash(str(tmp_path / "trash"))
        assert detect.detect(root, database, trash).driver == DRIVER
        monkeypatch.setattr(detect, "PROGRAM_PATH", str(tmp_path))
        assert detect.detect(root, database, trash).driver == "vfs"
        with pytest.raises(InvalidParameter, match="is not installed"):
            detect.detect(root, database, trash, DRIVER)
        assert os.listdir(tmp_path / "home") == ["s"], "a probe was left behind"


def test_a_linked_layer_hides_nothing_of_its_base(engine: rootless.Engine, tmp_path: Path) -> None:
    """The program marks every directory that it makes: in a layer such a mark would hide what is below."""
    context = engine.who.home / "linked"
    context.mkdir()
    (context / "one").write_text("1\n")
    (context / "Dockerfile").write_text(
        f"FROM {BUSYBOX}\nRUN mkdir -p /d/e /moved && touch /d/e/base && touch /moved/m && mv /moved /d/\n"
        "COPY --link one /d/e/one\nCOPY --link one /home/one\n"
        "RUN rm /d/e/base && mv /d/e /d/f && mkdir /d/e && mv /home/app /home/other\n"
    )
    engine.onggi("build", "-t", "linked:x", str(context))
    look = ("sh", "-c", "cd /; find d home | sort")
    wanted = ["d", "d/e", "d/f", "d/f/one", "d/moved", "d/moved/m", "home", "home/one", "home/other"]
    assert engine.onggi("run", "--rm", *NONE, "linked:x", *look).split() == wanted
    saved = engine.who.home / "linked.tar"
    engine.onggi("save", "-o", str(saved), "linked:x")
    with engines.onggi(tmp_path, "--storage-driver", "overlay2") as other:
        other.onggi("load", "-i", str(saved))
        assert other.onggi("run", "--rm", *NONE, "linked:x", *look).split() == wanted
    engine.onggi("rmi", "linked:x")


MAPPER = """
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void) {
    int fd = open("/mapped", O_RDWR | O_CREAT, 0644);
    char *p;
    if (ftruncate(fd, 4096)) return 1;
    p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    strcpy(p, "in memory");
    if (write(1, "ready\\n", 6) != 6) return 1;
    for (;;) pause();
}
"""


def test_commit_has_what_was_written_through_memory(engine: rootless.Engine) -> None:
    """Such pages are the kernel's until somebody asks for them."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc (Debian: gcc, libc6-dev)")
    source = engine.who.home / "mapper.c"
    source.write_text(MAPPER)
    subprocess.run(["gcc", "-static", "-o", engine.who.home / "mapper", source], check=True)
    bind = f"{engine.who.home}/mapper:/bin/mapper:ro"
    engine.onggi("run", "-d", *NONE, "--name", "one", "-v", bind, BUSYBOX, "/bin/mapper")
    until(lambda: "ready" in engine.onggi("logs", "one"))
    engine.onggi("commit", "one", "mapped:x")
    said = engine.onggi("run", "--rm", *NONE, "mapped:x", "sh", "-c", "tr -d '\\000' < /mapped")
    assert said == "in memory"
    engine.remove_all()
    engine.onggi("rmi", "mapped:x")


def test_an_account_that_the_container_took_away(engine: rootless.Engine) -> None:
    """What was looked up in the image is not what the container has."""
    engine.onggi("run", "--rm", *NONE, "-u", "app", BUSYBOX, "true")
    for gone in ("/etc/passwd", "/etc/group /etc/passwd", "-r /etc"):
        engine.onggi("run", *NONE, "--name", "one", BUSYBOX, "sh", "-c", f"rm {gone} 2>/dev/null; true")
        engine.onggi("commit", "one", "taken:x")
        refused = engine.run("onggi", "run", "--rm", *NONE, "-u", "app", "taken:x", "true", check=False)
        assert "unable to find user app" in refused.stderr
        engine.remove_all()
        engine.onggi("rmi", "taken:x")


def test_what_needs_the_kernels_overlay_is_refused(everybodys_device: None, tmp_path: Path) -> None:
    """Id maps and limits of the disk; root's engine, since a user's refuses them anyway."""
    flags = ("--storage-driver", DRIVER)
    with engines.onggi(tmp_path, *flags) as engine:
        engines.import_busybox(engine)
        refused = engine.run("onggi", "create", "--userns", "auto", BUSYBOX, check=False)
        assert f"--userns=auto: the storage driver {DRIVER} maps no owners" in refused.stderr
        refused = engine.run("onggi", "create", "--storage-opt", "size=10m", BUSYBOX, check=False)
        assert f"the storage driver {DRIVER} writes past them" in refused.stderr
        engine.stop()
        engine.command += ["--userns-remap", "default"]
        with pytest.raises(RuntimeError, match=f"the storage driver {DRIVER} maps no owners"):
            engine.start()
        engine.command[-2:] = []
        engine.start()


def test_programs_of_a_container_in_the_hosts_processes_end_with_it(engine: rootless.Engine) -> None:
    """Without a pid namespace the shim ends what is left, but not what it is left in."""
    command = ("sh", "-c", "sleep 1000 & sleep 1000 & echo kept > /kept; exec sleep 1000")
    engine.onggi("run", "-d", *NONE, "--pid", "host", "--name", "one", BUSYBOX, *command)
    until(lambda: engine.run("onggi", "exec", "one", "cat", "/kept", check=False).stdout == "kept\n")
    engine.onggi("kill", "one")
    until(lambda: not programs(engine))
    engine.onggi("start", "one")
    assert engine.onggi("exec", "one", "cat", "/kept") == "kept\n"
