"""What -v, --mount, --tmpfs and --volumes-from put into a container."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root]


def run(engine: Engine, *flags: str, command: str) -> str:
    return engine.onggi("run", "--rm", "--network", "none", *flags, BUSYBOX, "sh", "-c", command).strip()


def refused(engine: Engine, *flags: str, command: str = "true") -> str:
    done = engine.run(
        "onggi", "run", "--rm", "--network", "none", *flags, BUSYBOX, "sh", "-c", command, check=False
    )
    assert done.returncode != 0
    return done.stderr + done.stdout


def source(tmp_path: Path) -> Path:
    made = tmp_path / "source"
    (made / "sub").mkdir(parents=True)
    (made / "file").write_text("host\n")
    (made / "sub" / "deep").write_text("deep\n")
    return made


def test_copy_up_keeps_owners_and_modes(engine: Engine) -> None:
    assert run(engine, "-v", "up:/home", command="stat -c '%u:%g %a' /home/app") == "1000:1000 755"
    assert run(engine, "-v", "up:/other", command="ls /other") == "app"
    assert run(engine, "-v", "plain:/home:nocopy", command="ls /home") == ""
    engine.onggi("volume", "rm", "up", "plain")


def test_a_subpath_of_a_volume(engine: Engine) -> None:
    run(engine, "-v", "parts:/v", command="mkdir -p /v/a/b; echo there > /v/a/b/f; ln -s /etc /v/out")
    mount = "type=volume,src=parts,dst=/in,volume-subpath="
    assert run(engine, "--mount", mount + "a/b", command="cat /in/f") == "there"
    assert "a/none" in refused(engine, "--mount", mount + "a/none")
    assert "subpath must be a relative path" in refused(engine, "--mount", mount + "../x")
    # a link is resolved with the volume as the root: there is no etc
    assert "out" in refused(engine, "--mount", mount + "out")
    engine.onggi("volume", "rm", "parts")


def test_copy_on_write_binds_leave_the_source(engine: Engine, tmp_path: Path) -> None:
    made = source(tmp_path)
    engine.onggi(
        "run", "--name", "cow", "--network", "none", "-v", f"{made}:/in:O", BUSYBOX,
        "sh", "-c", "echo mine > /in/file; rm /in/sub/deep; echo new > /in/new",
    )  # fmt: skip
    assert (made / "file").read_text() == "host\n"
    assert sorted(os.listdir(made)) == ["file", "sub"]
    assert engine.onggi("cp", "cow:/in/file", "-")[512:517] == "mine\n"  # also while it does not run
    assert (
        run(engine, "--mount", f"type=bind,src={made},dst=/in,bind-copy-on-write", command="cat /in/file")
        == "host"
    )
    engine.onggi("rm", "cow")


def test_excluded_directories_are_the_images(engine: Engine, tmp_path: Path) -> None:
    made = source(tmp_path)
    (made / "app").mkdir()
    (made / "app" / "hosts").touch()
    assert (
        run(engine, "-v", f"{made}:/home:exclude=app", command="ls /home/app; stat -c %u /home/app") == "1000"
    )
    mount = f"type=bind,src={made},dst=/home,exclude=app"
    assert run(engine, "--mount", mount, command="touch /home/app/x; ls /home/app") == "x"
    assert os.listdir(made / "app") == ["hosts"]
    assert "must be a relative path" in refused(engine, "-v", f"{made}:/home:exclude=../etc")


def test_idmap(engine: Engine, tmp_path: Path) -> None:
    made = source(tmp_path)
    os.chown(made, 4242, 4243)
    os.chown(made / "file", 4242, 4243)
    try:
        shown = run(engine, "-v", f"{made}:/in:idmap", command="stat -c %u:%g /in/file; touch /in/new")
    except AssertionError as error:
        if "invalid argument" in str(error):
            pytest.skip("this file system has no idmapped mounts")
        raise
    assert shown == "0:0"
    assert (os.stat(made / "new").st_uid, os.stat(made / "new").st_gid) == (4242, 4243)
    as_user = run(engine, "-u", "1000:1000", "--mount", f"type=bind,src={made},dst=/in,idmap=4242:4243",
                  command="stat -c %u:%g /in/file")  # fmt: skip
    assert as_user == "1000:1000"


def test_image_mounts(engine: Engine) -> None:
    flags = ("--mount", f"type=image,src={BUSYBOX},dst=/img")
    assert run(engine, *flags, command="cat /img/etc/group | head -1; echo x > /img/new; cat /img/new") == (
        "root:x:0:\nx"
    )
    sub = ("--mount", f"type=image,src={BUSYBOX},dst=/img,image-subpath=home/app,readonly")
    assert run(engine, *sub, command="stat -c %u /img; touch /img/x 2>&1 || true").startswith("1000\n")
    assert "No such image" in refused(engine, "--pull", "never", "--mount", "type=image,src=no-such,dst=/i")


def test_an_image_that_is_mounted_stays(engine: Engine) -> None:
    engines.import_busybox(engine, "mounted:1")
    engine.onggi("create", "--name", "user", "--network", "none",
                 "--mount", "type=image,src=mounted:1,dst=/i", BUSYBOX, "cat", "/i/etc/group")  # fmt: skip
    engine.onggi("rmi", "-f", "mounted:1")
    assert engine.onggi("start", "-a", "user").startswith("root:x:0:")
    engine.onggi("rm", "user")


def test_read_only_is_recursive_unless_told(engine: Engine, tmp_path: Path) -> None:
    made = source(tmp_path)
    engine_mount = made / "sub"
    subprocess.run(["mount", "-t", "tmpfs", "ogv-test", str(engine_mount)], check=True)
    try:
        touch = "touch /in/sub/x && echo written || echo refused"
        assert run(engine, "-v", f"{made}:/in:ro", command=touch).endswith("refused")
        mount = f"type=bind,src={made},dst=/in,readonly"
        assert run(engine, "--mount", mount, command=touch).endswith("refused")
        assert run(engine, "--mount", f"{mount},bind-recursive=writable", command=touch) == "written"
        assert run(engine, "--mount", f"{mount},bind-recursive=disabled", command="ls /in/sub") == "deep"
    finally:
        subprocess.run(["umount", str(engine_mount)], check=True)


def test_tmpfs(engine: Engine) -> None:
    line = run(engine, "--tmpfs", "/t:size=1m,mode=700,exec", command="grep ' /t ' /proc/mounts")
    assert "size=1024k" in line
    assert "mode=700" in line
    assert "nosuid" in line
    assert "noexec" not in line
    line = run(engine, "--mount", "type=tmpfs,dst=/t,tmpfs-size=2m,tmpfs-mode=1770",
               command="grep ' /t ' /proc/mounts; stat -c %a /t")  # fmt: skip
    assert "size=2048k" in line
    assert line.endswith("1770")
    assert "invalid tmpfs option" in refused(engine, "--tmpfs", "/t:what=1")


def test_volumes_from(engine: Engine, tmp_path: Path) -> None:
    made = source(tmp_path)
    engine.onggi("create", "--name", "data", "--network", "none", "-v", f"{made}:/a", "-v", "/b", BUSYBOX)
    assert run(engine, "--volumes-from", "data", command="cat /a/file; touch /b/x") == "host"
    read = run(engine, "--volumes-from", "data:ro", command="ls /b; touch /a/y 2>/dev/null || echo ro")
    assert read == "x\nro"
    assert "invalid mode" in refused(engine, "--volumes-from", "data:what")
    engine.onggi("rm", "-v", "data")


def test_a_volume_that_is_a_mount(engine: Engine) -> None:
    """A tmpfs is shared by those that run, and unmounted after the last."""
    engine.onggi("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=3m", "memory")
    assert engines.mounts(str(engine.root / "volumes")) == []
    engine.onggi(
        "run", "-d", "--name", "one", "--network", "none", "-v", "memory:/m", BUSYBOX, "sleep", "1000"
    )
    assert "size=3072k" in run(engine, "-v", "memory:/m", command="echo hi > /m/f; grep ' /m ' /proc/mounts")
    assert engine.onggi("exec", "one", "cat", "/m/f") == "hi\n"
    assert engines.mounts(str(engine.root / "volumes")) != []
    engine.kill()
    engine.start()
    assert engine.onggi("exec", "one", "cat", "/m/f") == "hi\n"
    assert run(engine, "-v", "memory:/m", command="cat /m/f") == "hi"
    engine.onggi("rm", "-f", "one")
    engines.until(lambda: engines.mounts(str(engine.root / "volumes")) == [])
    engine.onggi("volume", "rm", "memory")


def test_a_volume_of_a_directory_of_the_host(engine: Engine, tmp_path: Path) -> None:
    made = source(tmp_path)
    options = f"type=volume,src=bound,dst=/in,volume-opt=type=none,volume-opt=o=bind,volume-opt=device={made}"
    assert run(engine, "--mount", options, command="cat /in/file") == "host"
    engine.onggi("volume", "rm", "bound")
    assert (made / "file").read_text() == "host\n"


def test_a_server_that_is_not_there_fails_the_start(engine: Engine) -> None:
    options = "type=volume,src=share,dst=/in,volume-nocopy,volume-opt=type=nfs,volume-opt=device=:/x"
    said = refused(engine, "--mount", options + ",volume-opt=o=addr=256.1.1.1.invalid")
    assert "failed to mount local volume" in said
    engine.onggi("volume", "rm", "share")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "what=1"), 'invalid option: "what"'),
        (("-o", "type=tmpfs"), 'missing required option: "device"'),
        (("-o", "size=1g"), "quota size requested but no quota support"),
    ],
)
def test_volume_options_that_are_none(engine: Engine, options: tuple[str, ...], message: str) -> None:
    done = engine.run("onggi", "volume", "create", *options, "bad", check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert engine.onggi("volume", "ls", "-q", "-f", "name=bad") == ""


def test_in_use_also_by_stopped_containers(engine: Engine) -> None:
    engine.onggi("create", "--name", "holder", "--network", "none", "-v", "used:/v", BUSYBOX)
    done = engine.run("onggi", "volume", "rm", "used", check=False)
    assert "volume is in use - [" in done.stderr
    assert "used" not in engine.onggi("volume", "prune", "-af")
    engine.onggi("rm", "holder")
    engine.onggi("volume", "rm", "used")


def test_links_in_a_volume_lead_nowhere_outside(engine: Engine, tmp_path: Path) -> None:
    """CVE-2018-15664, CVE-2021-25741: cp and subpaths through what a container made."""
    secret = tmp_path / "secret"
    secret.write_text("host's\n")
    run(engine, "-v", "evil:/v", command=f"ln -s {tmp_path} /v/dir; ln -s ../../../../../../.. /v/up")
    engine.onggi("create", "--name", "victim", "--network", "none", "-v", "evil:/v", BUSYBOX)
    for path in ("/v/dir/secret", f"/v/up{secret}"):
        done = engine.run("onggi", "cp", f"victim:{path}", "-", check=False)
        assert done.returncode != 0, path
        assert "host's" not in done.stdout
    mount = f"type=volume,src=evil,dst=/in,volume-subpath=up{tmp_path}"
    assert "host's" not in refused(engine, "--mount", mount, command="cat /in/secret")
    engine.onggi("rm", "victim")
    engine.onggi("volume", "rm", "evil")


def test_inspect_shows_each(engine: Engine, tmp_path: Path) -> None:
    made = source(tmp_path)
    engine.onggi("create", "--name", "shown", "--network", "none", "-v", f"{made}:/a:ro,rslave",
                 "-v", "named:/b", "--mount", f"type=image,src={BUSYBOX},dst=/c", BUSYBOX)  # fmt: skip
    points = {p["Destination"]: p for p in engine.api("GET", "/containers/shown/json")["Mounts"]}
    assert (points["/a"]["Mode"], points["/a"]["RW"], points["/a"]["Propagation"]) == (
        "ro,rslave",
        False,
        "rslave",
    )
    assert (points["/b"]["Name"], points["/b"]["Driver"], points["/b"]["Mode"]) == ("named", "local", "z")
    assert (points["/c"]["Type"], points["/c"]["Source"]) == ("image", BUSYBOX)
    engine.onggi("rm", "shown")
    engine.onggi("volume", "rm", "named")
