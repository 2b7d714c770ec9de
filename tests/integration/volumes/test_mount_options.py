"""Options of -v and --mount, each by what a container can do with it."""
# ruff: noqa: E501 (scripts and tables)

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root]


def run(engine: Engine, *flags: str, command: str, image: str = BUSYBOX) -> str:
    return engine.onggi("run", "--rm", "--network", "none", *flags, image, "sh", "-c", command).strip()


def refused(engine: Engine, *flags: str, command: str = "true") -> str:
    words = ("run", "--rm", "--network", "none", *flags, BUSYBOX, "sh", "-c", command)
    done = engine.run("onggi", *words, check=False)
    assert done.returncode != 0, done.stdout
    return done.stderr + done.stdout


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A shared mount of the host with a directory in which something is mounted."""
    place = tmp_path / "shared"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "ogv-shared", place], check=True)
    subprocess.run(["mount", "--make-shared", place], check=True)
    for name in ("sub", "late", "out"):
        (place / name).mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "ogv-sub", place / "sub"], check=True)
    (place / "sub" / "inner").write_text("inner\n")
    yield place
    subprocess.run(["umount", "-R", place], check=True)


# What the host mounts later is seen inside; what the container mounts is seen by the host.
PROPAGATIONS = [
    ("", False, False), ("private", False, False), ("rprivate", False, False), ("slave", True, False),
    ("rslave", True, False), ("shared", True, True), ("rshared", True, True),
]  # fmt: skip


@pytest.mark.parametrize(("words", "inwards", "outwards"), PROPAGATIONS, ids=lambda value: str(value))
@pytest.mark.parametrize("form", ["-v", "--mount"])
def test_propagation(
    engine: Engine, shared: Path, form: str, words: str, inwards: bool, outwards: bool
) -> None:
    flag = f"{shared}:/in" + (f":{words}" if words else "")
    if form == "--mount":
        flag = f"type=bind,src={shared},dst=/in" + (f",bind-propagation={words}" if words else "")
    may_mount = ("--cap-add", "SYS_ADMIN", "--security-opt", "apparmor=unconfined")
    flags = ("--network", "none", *may_mount, form, flag)
    engine.onggi("run", "-d", "--name", "spread", *flags, BUSYBOX, "sleep", "1000")
    try:
        (point,) = engine.api("GET", "/containers/spread/json")["Mounts"]
        assert point["Propagation"] == (words or "rprivate")
        subprocess.run(["mount", "-t", "tmpfs", "ogv-late", shared / "late"], check=True)
        (shared / "late" / "new").touch()
        assert (engine.onggi("exec", "spread", "ls", "/in/late") == "new\n") is inwards
        engine.onggi("exec", "spread", "mount", "-t", "tmpfs", "ogv-out", "/in/out")
        assert (str(shared / "out") in engines.mounts(str(shared))) is outwards
    finally:
        engine.onggi("rm", "-f", "spread")


def test_a_bind_of_the_engines_own_root_lets_go(engine: Engine) -> None:
    """Without propagation a container would hold every volume that is mounted on the host while it starts."""
    assert "rslave" in refused(engine, "-v", f"{engine.root}:/in:rprivate")
    engine.onggi("create", "--name", "own", "--network", "none", "-v", f"{engine.root}/volumes:/in", BUSYBOX)
    (point,) = engine.api("GET", "/containers/own/json")["Mounts"]
    assert point["Propagation"] == "rslave"
    engine.onggi("start", "-a", "own")
    engine.onggi("rm", "own")


def test_bind_recursive(engine: Engine, shared: Path) -> None:
    bind = f"type=bind,src={shared},dst=/in"
    write = "touch /in/x && echo top; touch /in/sub/x && echo sub; true"
    assert run(engine, "--mount", f"{bind},bind-recursive=enabled", command=write) == "top\nsub"
    assert run(engine, "--mount", f"{bind},bind-recursive=enabled,readonly", command=write) == ""
    assert run(engine, "--mount", f"{bind},bind-recursive=writable,readonly", command=write) == "sub"
    strict = f"{bind},bind-recursive=readonly,readonly,bind-propagation=rprivate"
    assert run(engine, "--mount", strict, command=write) == ""
    seen = "ls /in/sub; touch /in/sub/x && echo written; true"
    assert run(engine, "--mount", f"{bind},bind-recursive=disabled", command=seen) == "written"
    assert run(engine, "--mount", f"{bind},bind-recursive=disabled,readonly", command=seen) == "x"
    for words in ("bind-recursive=writable", "bind-recursive=readonly", "bind-recursive=readonly,readonly",
                  "bind-recursive=what"):  # fmt: skip
        assert "bind-recursive" in refused(engine, "--mount", f"{bind},{words}")


def test_bind_create_src(engine: Engine, tmp_path: Path) -> None:
    source = tmp_path / "new" / "deep"
    assert "bind source path does not exist" in refused(engine, "--mount", f"type=bind,src={source},dst=/in")
    assert not source.parent.exists()
    run(engine, "--mount", f"type=bind,src={source},dst=/in,bind-create-src", command="touch /in/x")
    assert os.listdir(source) == ["x"]
    assert (source.stat().st_uid, source.stat().st_mode & 0o777) == (0, 0o755)
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    assert "dangling" in refused(engine, "-v", f"{dangling}:/in")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("label", ["z", "Z", "ro,z", "Z,ro"])
def test_labels_of_selinux_are_accepted(engine: Engine, tmp_path: Path, label: str) -> None:
    read_only = "ro" in label
    said = run(
        engine, "-v", f"{tmp_path}:/in:{label}", command="touch /in/x 2>/dev/null && echo yes || echo no"
    )
    assert said == ("no" if read_only else "yes")
    said = run(
        engine, "-v", f"labelled:/in:{label}", command="touch /in/x 2>/dev/null && echo yes || echo no"
    )
    assert said == ("no" if read_only else "yes")
    engine.onggi("volume", "rm", "labelled")


def test_a_file_is_bound_and_keeps_its_place(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "conf"
    file.write_text("host\n")
    assert run(engine, "-v", f"{file}:/etc/deep/conf:ro", command="cat /etc/deep/conf") == "host"
    assert "read-only" in refused(engine, "-v", f"{file}:/conf:ro", command="echo x > /conf").lower()
    run(engine, "-v", f"{file}:/conf", command="echo inside > /conf")
    assert file.read_text() == "inside\n"
    # a directory upon a file is refused, in words that name both
    said = refused(engine, "-v", f"{tmp_path}:/etc/passwd")
    assert "/etc/passwd" in said
    assert "not a directory" in said


# --- volumes ------------------------------------------------------------------------------------------


def test_labels_and_options_of_a_volume(engine: Engine) -> None:
    mount = "type=volume,src=facts,dst=/v,volume-label=a=b=c,volume-label=bare,volume-driver=local"
    run(engine, "--mount", mount, command="touch /v/x")
    assert engine.api("GET", "/volumes/facts")["Labels"] == {"a": "b=c", "bare": ""}
    run(engine, "--mount", "type=volume,src=facts,dst=/v,volume-label=other=1", command="ls /v/x")
    assert engine.api("GET", "/volumes/facts")["Labels"] == {"a": "b=c", "bare": ""}  # it is there already
    engine.onggi("volume", "rm", "facts")
    said = refused(engine, "--mount", "type=volume,src=facts,dst=/v,volume-driver=what")
    assert 'plugin "what" not found' in said
    assert engine.onggi("volume", "ls", "-qf", "name=facts") == ""


def image_with(engine: Engine, name: str, *dockerfile: str, files: tuple[tarfile.TarInfo, ...] = ()) -> None:
    """An image of a whole tar, so that owners, modes, xattrs and links are as the tar has them."""
    out = io.BytesIO(engines.busybox_rootfs())
    with tarfile.open(fileobj=out, mode="a", format=tarfile.PAX_FORMAT) as tar:
        for info in files:
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    repository, _, tag = name.partition(":")
    changes = "".join(f"&changes={quote(line)}" for line in dockerfile)
    engine.api("POST", f"/images/create?fromSrc=-&repo={repository}&tag={tag}{changes}", out.getvalue())


def member(name: str, kind: bytes = tarfile.REGTYPE, **facts: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mtime = kind, 1_000_000_000
    for key, value in facts.items():
        setattr(info, key, value)
    return info


FILES = (
    member("srv", tarfile.DIRTYPE, mode=0o2750, uid=7, gid=8),
    member("srv/set", mode=0o6755, uid=7, gid=8, size=100),
    member("srv/hard", tarfile.LNKTYPE, linkname="srv/set"),
    member("srv/link", tarfile.SYMTYPE, linkname="/etc/shadow", uid=9, gid=9),
    member("srv/fifo", tarfile.FIFOTYPE, mode=0o640, uid=5, gid=6),
    member("srv/null", tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=3),
    member("srv/cap", mode=0o755, size=10, pax_headers={
        "SCHILY.xattr.user.note": "kept",
        "SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    }),
    member("srv/locked", tarfile.DIRTYPE, mode=0o500, uid=1000, gid=1000),
    member("srv/locked/in", mode=0o400, size=1, uid=1000, gid=1000),
)  # fmt: skip


def facts_of(top: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in [top, *sorted(top.rglob("*"))]:
        status = path.lstat()
        extended = {} if path.is_symlink() else {n: os.getxattr(path, n) for n in os.listxattr(path)}
        target = os.readlink(path) if path.is_symlink() else ""
        found[str(path.relative_to(top))] = (
            status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_rdev, int(status.st_mtime),
            extended, target,
        )  # fmt: skip
    return found


@pytest.mark.parametrize("form", ["-v name", "-v", "--mount", "VOLUME"])
def test_copy_up_keeps_everything(engine: Engine, form: str) -> None:
    image_with(engine, "filled:1", "VOLUME /srv" if form == "VOLUME" else "CMD sh", files=FILES)
    flags = {"-v name": ("-v", "up:/srv"), "-v": ("-v", "/srv"), "VOLUME": (),
             "--mount": ("--mount", "type=volume,src=up,dst=/srv")}[form]  # fmt: skip
    engine.onggi("create", "--name", "filler", "--network", "none", *flags, "filled:1", "true")
    (point,) = engine.api("GET", "/containers/filler/json")["Mounts"]
    (layer,) = {path.parent for path in engine.root.glob("snapshots/*/fs/srv") if (path / "set").exists()}
    assert facts_of(Path(point["Source"])) == facts_of(layer / "srv")
    engine.onggi("rm", "-v", "filler")
    engine.onggi("rmi", "filled:1")
    if point["Name"] == "up":
        engine.onggi("volume", "rm", "up")


def test_copy_up_goes_through_no_link(engine: Engine, tmp_path: Path) -> None:
    """A mount point that is a link in the image is looked up inside the image, never on the host."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("host's\n")
    image_with(engine, "linked:1", "CMD sh", files=(
        member("evil", tarfile.SYMTYPE, linkname=str(secret)), member("up", tarfile.SYMTYPE, linkname="../../../.." + str(secret)),
        member("real", tarfile.DIRTYPE, mode=0o755), member("real/mine", size=1),
        member("good", tarfile.SYMTYPE, linkname="/real"), member("loop", tarfile.SYMTYPE, linkname="loop"),
    ))  # fmt: skip
    for target in ("/evil", "/up"):
        assert run(engine, "-v", f"linked:{target}", command=f"ls {target}/", image="linked:1") == ""
        engine.onggi("volume", "rm", "linked")
    assert run(engine, "-v", "linked:/good", command="ls /real", image="linked:1") == "mine"
    done = engine.run("onggi", "create", "--network", "none", "-v", "linked:/loop", "linked:1", "true")
    said = engine.run("onggi", "start", done.stdout.strip(), check=False).stderr
    assert "/loop" in said
    assert "too many levels of symbolic links" in said
    engine.onggi("rm", done.stdout.strip())
    engine.onggi("volume", "rm", "linked")
    engine.onggi("rmi", "linked:1")
    assert os.listdir(secret) == ["file"]


def test_nocopy_in_each_form(engine: Engine) -> None:
    for flags in (("-v", "bare:/home:nocopy"), ("--mount", "type=volume,src=bare,dst=/home,volume-nocopy"),
                  ("--mount", "type=volume,src=bare,dst=/home,volume-nocopy=true")):  # fmt: skip
        assert run(engine, *flags, command="ls /home") == ""
        engine.onggi("volume", "rm", "bare")
    assert (
        run(engine, "--mount", "type=volume,src=bare,dst=/home,volume-nocopy=false", command="ls /home")
        == "app"
    )
    engine.onggi("volume", "rm", "bare")


def test_subpaths_with_links(engine: Engine, tmp_path: Path) -> None:
    """CVE-2021-25741, CVE-2024-23651: a subpath is looked up with the volume as the root, whatever is in it."""
    (tmp_path / "secret").write_text("host's\n")
    run(engine, "-v", "parts:/v", command=(
        f"mkdir -p /v/real/deep; echo there > /v/real/deep/f; echo one > /v/file; ln -s real /v/link; ln -s /real/deep /v/abs;"
        f"ln -s {tmp_path} /v/host; ln -s ../../../../..{tmp_path} /v/climb; ln -s loop /v/loop; ln -s /proc/self/root /v/magic"
    ))  # fmt: skip
    mount = "type=volume,src=parts,dst=/in,volume-subpath="
    for path in ("link/deep", "abs", "real/./deep", "real/deep/", "./real/deep"):
        assert run(engine, "--mount", mount + path, command="cat /in/f") == "there", path
    assert run(engine, "--mount", mount + "file,readonly", command="cat /in") == "one"
    for path in (
        "host",
        "climb",
        "loop",
        "magic",
        "magic/etc",
        "none",
        "file/x",
        "real/deep/f/x",
        "host/secret",
    ):
        said = refused(engine, "--mount", mount + path, command="cat /in/* /in")
        assert "cannot access path" in said, path
        assert "host's" not in said
    for path in ("/real", "..", "real/../../x", "../parts"):
        assert "subpath must be a relative path" in refused(engine, "--mount", mount + path)
    engine.onggi("volume", "rm", "parts")


# --- images -------------------------------------------------------------------------------------------


def test_subpaths_of_images_with_links(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("host's\n")
    image_with(engine, "parts:1", "CMD sh", files=(
        member("a", tarfile.DIRTYPE, mode=0o755), member("a/f", size=3), member("in", tarfile.SYMTYPE, linkname="/a"),
        member("host", tarfile.SYMTYPE, linkname=str(tmp_path)), member("climb", tarfile.SYMTYPE, linkname="../../.." + str(tmp_path)),
    ))  # fmt: skip
    mount = "type=image,src=parts:1,dst=/in,image-subpath="
    assert run(engine, "--mount", mount + "a", command="cat /in/f; touch /in/new; ls /in") == "xxxf\nnew"
    assert run(engine, "--mount", mount + "in,readonly", command="touch /in/new || ls /in").endswith("f")
    assert run(engine, "--mount", mount + "a/f", command="cat /in") == "xxx"
    for path in ("host", "climb", "none"):
        assert "host's" not in refused(engine, "--mount", mount + path, command="cat /in/secret"), path
    engine.onggi("rmi", "parts:1")


# --- tmpfs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "wanted", "absent"),
    [
        ("", ("rw", "nosuid", "nodev", "noexec"), ()),
        ("exec,suid,dev", ("rw",), ("noexec", "nosuid", "nodev")),
        ("ro", ("ro",), ("rw",)),
        ("size=64k,nr_inodes=10,mode=1700,uid=1000,gid=2000", ("size=64k", "nr_inodes=10", "mode=1700", "uid=1000", "gid=2000"), ()),
        ("nr_blocks=16", ("size=64k",), ()),
        ("noatime,sync", ("noatime", "sync"), ()),
        ("size=10%", ("size=",), ()),
    ],
)  # fmt: skip
def test_options_of_tmpfs(
    engine: Engine, words: str, wanted: tuple[str, ...], absent: tuple[str, ...]
) -> None:
    flag = "/t:" + words if words else "/t"
    line = run(engine, "--tmpfs", flag, command="grep ' /t ' /proc/mounts").split()
    options = line[3].split(",")
    assert line[2] == "tmpfs"
    for word in wanted:
        assert any(option.startswith(word) for option in options), (word, options)
    assert not set(absent) & set(options)


def test_a_tmpfs_holds_what_it_may_and_starts_empty(engine: Engine) -> None:
    script = "dd if=/dev/zero of=/home/big bs=4k count=100 2>&1 | grep -o 'No space left'; ls /home"
    assert run(engine, "--tmpfs", "/home:size=64k", command=script) == "No space left\nbig"
    assert (
        run(engine, "--mount", "type=tmpfs,dst=/home,tmpfs-size=64k", command=script) == "No space left\nbig"
    )
    assert run(engine, "--mount", "type=tmpfs,dst=/home,readonly", command="touch /home/x || ls /home") == ""
    engine.onggi(
        "create",
        "--name",
        "twice",
        "--network",
        "none",
        "--tmpfs",
        "/t",
        BUSYBOX,
        "sh",
        "-c",
        "ls /t; touch /t/x",
    )
    assert [engine.onggi("start", "-a", "twice") for _ in range(2)] == ["", ""]
    engine.onggi("rm", "twice")
    for words in ("tmpfs-size=-1", "tmpfs-size=what", "tmpfs-mode=8", "tmpfs-mode=what"):
        assert "tmpfs" in refused(engine, "--mount", f"type=tmpfs,dst=/t,{words}")


def test_nothing_lies_on_proc_or_in_it(engine: Engine, tmp_path: Path) -> None:
    """CVE-2019-16884: what is written below /proc must reach the kernel; also where a link leads there."""
    (tmp_path / "file").write_text("ours\n")
    for target in ("/proc", "/proc/", "//proc/.", "/proc/sys", "/proc/self", "/proc/1", "/proc/sys/kernel"):
        assert "cannot be mounted because" in refused(engine, "-v", f"{tmp_path}:{target}"), target
    assert "is not of type proc" in refused(engine, "--tmpfs", "/proc")
    assert "inside /proc" in refused(engine, "-v", f"{tmp_path}/file:/proc/self/attr/exec")
    assert "inside /proc" in refused(engine, "-v", "into:/proc/sys")
    engine.onggi("volume", "rm", "into")
    image_with(engine, "proc:1", "CMD sh", files=(
        member("sneaky", tarfile.SYMTYPE, linkname="/proc"), member("deep", tarfile.SYMTYPE, linkname="proc/sys"),
    ))  # fmt: skip
    for target in ("/sneaky", "/deep", "/sneaky/sys", "/deep/kernel"):
        flags = ("run", "--rm", "--network", "none", "-v", f"{tmp_path}:{target}", "proc:1", "true")
        assert "cannot be mounted because" in engine.run("onggi", *flags, check=False).stderr, target
    engine.onggi("rmi", "proc:1")
    # what is allowed: a procfs, and the files that lxcfs gives
    assert run(engine, "-v", f"{tmp_path}/file:/proc/cpuinfo", command="cat /proc/cpuinfo") == "ours"
    assert run(engine, "--pid", "host", "-v", "/proc:/proc", command="ls -d /proc/1") == "/proc/1"
    assert run(engine, "-v", "/proc:/host/proc:ro", command="ls -d /host/proc/1") == "/host/proc/1"


def test_a_tmpfs_is_as_open_as_what_it_covers(engine: Engine) -> None:
    image_with(
        engine,
        "modes:1",
        "CMD sh",
        files=(
            member("shut", tarfile.DIRTYPE, mode=0o700, uid=5),
            member("open", tarfile.DIRTYPE, mode=0o1777),
        ),
    )
    for target, mode in (("/shut", "700"), ("/open", "1777"), ("/home", "755"), ("/none", "1777")):
        assert run(engine, "--tmpfs", target, command=f"stat -c %a {target}", image="modes:1") == mode, target
        assert (
            run(
                engine, "--mount", f"type=tmpfs,dst={target}", command=f"stat -c %a {target}", image="modes:1"
            )
            == mode
        )
    assert run(engine, "--tmpfs", "/shut:mode=711,ro", command="stat -c %a /shut", image="modes:1") == "711"
    engine.onggi("rmi", "modes:1")
