"""Exactly what mount(2) is given for a volume that is a mount; the system call alone is replaced."""

# ruff: noqa: E501 (a table of calls)
from __future__ import annotations

import errno
import socket
from pathlib import Path
from typing import Any

import pytest

from onggi.errors import InvalidParameter, System
from onggi.kernel import mounts as k
from onggi.paths import Paths
from onggi.volumes import local, mounting

BIND = k.MS_BIND
Call = tuple[Any, ...]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    found: list[Call] = []

    def mount(
        source: str | None, target: str, fstype: str | None, flags: int = 0, data: str | None = None
    ) -> None:
        found.append((source, target.rpartition("/volumes/")[2], fstype, flags, data))

    def resolve(name: str, *_: object, **__: object) -> list[Call]:
        if name == "nobody":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        both = {"files": ["fd00::7", "10.0.0.7"]}.get(name, [name])
        kinds = [socket.AF_INET6 if ":" in one else socket.AF_INET for one in both]
        return [(kind, 1, 6, "", (one, 0)) for kind, one in zip(kinds, both, strict=True)]

    monkeypatch.setattr(k, "mount", mount)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return found


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(str(tmp_path), str(tmp_path))
    local.make(made, "vol")
    return made


TABLE: list[tuple[dict[str, str], list[Call]]] = [
    ({"type": "nfs", "o": "addr=files,rw,nfsvers=4", "device": ":/export"},
     [(":/export", "vol/_data", "nfs", 0, "addr=10.0.0.7,nfsvers=4")]),
    ({"type": "nfs4", "o": "addr=fd00::7,ro,soft", "device": ":/"},
     [(":/", "vol/_data", "nfs4", k.MS_RDONLY, "addr=fd00::7,soft")]),
    ({"type": "nfs", "o": "ro,nosuid,noexec,noatime,addr=10.1.1.1", "device": "10.1.1.1:/x"},
     [("10.1.1.1:/x", "vol/_data", "nfs", k.MS_RDONLY | k.MS_NOSUID | k.MS_NOEXEC | k.MS_NOATIME, "addr=10.1.1.1")]),
    ({"type": "cifs", "o": "addr=files,username=u,password=p,vers=3.0", "device": "//files/share"},
     [("//files/share", "vol/_data", "cifs", 0, "addr=10.0.0.7,username=u,password=p,vers=3.0")]),
    ({"type": "tmpfs", "o": "size=100m,uid=1000,noexec", "device": "tmpfs"},
     [("tmpfs", "vol/_data", "tmpfs", k.MS_NOEXEC, "size=100m,uid=1000")]),
    ({"type": "none", "o": "bind", "device": "/srv"}, [("/srv", "vol/_data", "none", BIND, None)]),
    ({"type": "", "o": "rbind,rslave", "device": "/srv"},
     [("/srv", "vol/_data", "", BIND | k.MS_REC, None), (None, "vol/_data", None, k.MS_SLAVE | k.MS_REC, None)]),
    ({"type": "none", "o": "bind,ro", "device": "/srv"},
     [("/srv", "vol/_data", "none", BIND | k.MS_RDONLY, None),
      (None, "vol/_data", None, k.MS_REMOUNT | BIND | k.MS_RDONLY, None)]),
    ({"type": "btrfs", "device": "/dev/sdb1"}, [("/dev/sdb1", "vol/_data", "btrfs", 0, None)]),
]  # fmt: skip


@pytest.mark.parametrize(("options", "wanted"), TABLE, ids=lambda value: str(value)[:60])
def test_the_call(paths: Paths, calls: list[Call], options: dict[str, str], wanted: list[Call]) -> None:
    mounting.check("vol", options)
    assert mounting.is_mount(options)
    mounting.mount(paths, "vol", options)
    assert calls == wanted


def test_a_failure_names_everything_but_the_password(
    paths: Paths, calls: list[Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(k, "mount", refuse)
    options = {"type": "cifs", "o": "addr=files,password=s3cret,ro", "device": "//files/share"}
    with pytest.raises(System) as caught:
        mounting.mount(paths, "vol", options)
    target = paths.volume_data("vol")
    assert caught.value.message == (
        f"error while mounting volume '{target}': failed to mount local volume: mount //files/share:{target}, "
        "flags: 0x1, data: addr=10.0.0.7,password=********: permission denied"
    )


def test_a_server_without_an_address(paths: Paths, calls: list[Call]) -> None:
    with pytest.raises(System, match="error resolving nobody"):
        mounting.mount(paths, "vol", {"type": "nfs", "o": "addr=nobody", "device": ":/x"})
    assert calls == []


@pytest.mark.parametrize("device", ["//host:445/share", "smb://host:445/x", "//[::1]:445/x"])
def test_a_port_in_the_address_of_cifs(device: str) -> None:
    with pytest.raises(InvalidParameter, match="port not allowed in CIFS device URL"):
        mounting.check("vol", {"type": "cifs", "o": "addr=x", "device": device})
    with pytest.raises(InvalidParameter, match="error parsing mount device url"):
        mounting.check("vol", {"type": "cifs", "o": "addr=x", "device": "//host:what/share"})


def test_empty_options_make_no_mount() -> None:
    options = {"type": "", "o": "", "device": ""}
    mounting.check("vol", options)
    assert not mounting.is_mount(options)
