"""Volumes that are mounts: `type`, `o` and `device` of the local driver, as mount(8) and dockerd have them.

    type=nfs   o=addr=10.0.0.1,rw,nfsvers=4   device=:/export        a share of a server
    type=tmpfs o=size=100m,uid=1000           device=tmpfs           memory, for as long as somebody uses it
    type=none  o=bind                         device=/srv/data       a directory of the host

Mounted on volumes/NAME/_data in the host's mount namespace while a container that uses it runs: containers
share one tmpfs, and a server is reached from the host's network and not from a container's. Blocking.
Not here: who uses it (engine/volumes/mounted.py).
"""

from __future__ import annotations

import errno
import os
import socket
from urllib.parse import urlsplit

from onggi.errors import InvalidParameter, System
from onggi.kernel import mounts as k
from onggi.paths import Paths

OPTIONS = frozenset({"type", "o", "device", "size"})
_NEEDS = {"device": ("type",), "type": ("device",), "o": ("device", "type")}
_FLAGS = {
    "defaults": 0, "ro": k.MS_RDONLY, "nosuid": k.MS_NOSUID, "nodev": k.MS_NODEV, "noexec": k.MS_NOEXEC,
    "sync": k.MS_SYNCHRONOUS, "dirsync": k.MS_DIRSYNC, "mand": k.MS_MANDLOCK, "noatime": k.MS_NOATIME,
    "nodiratime": k.MS_NODIRATIME, "relatime": k.MS_RELATIME, "strictatime": k.MS_STRICTATIME,
    "bind": k.MS_BIND, "rbind": k.MS_BIND | k.MS_REC,
}  # fmt: skip
_CLEARS = {
    "rw": k.MS_RDONLY, "suid": k.MS_NOSUID, "dev": k.MS_NODEV, "exec": k.MS_NOEXEC, "async": k.MS_SYNCHRONOUS,
    "nomand": k.MS_MANDLOCK, "atime": k.MS_NOATIME, "diratime": k.MS_NODIRATIME, "norelatime": k.MS_RELATIME,
    "nostrictatime": k.MS_STRICTATIME,
}  # fmt: skip
_PROPAGATIONS = {
    f"{r}{word}": flag | (k.MS_REC if r else 0)
    for word, flag in (("private", k.MS_PRIVATE), ("slave", k.MS_SLAVE), ("shared", k.MS_SHARED),
                       ("unbindable", k.MS_UNBINDABLE))
    for r in ("", "r")
}  # fmt: skip
# A bind takes its flags from the mount that it copies until it is mounted again, mount(2), MS_REMOUNT.
_BIND_FLAGS = k.MS_RDONLY | k.MS_NOSUID | k.MS_NODEV | k.MS_NOEXEC | k.MS_NOATIME | k.MS_NODIRATIME


def check(name: str, options: dict[str, str]) -> None:
    """Raises InvalidParameter in dockerd's words for options that make no mount."""
    for option, value in options.items():
        if option not in OPTIONS:
            raise InvalidParameter(f'create {name}: invalid option: "{option}"')
        if "\0" in value:
            raise InvalidParameter(f"create {name}: option {option} holds a null byte: {value!r}")
    if options.get("type") == "cifs":
        _refuse_port(name, options.get("device", ""))
    for option, needed in _NEEDS.items():
        for other in needed if option in options else ():
            if other not in options:
                raise InvalidParameter(f'create {name}: missing required option: "{other}"')
    if "remount" in options.get("o", "").split(","):
        raise InvalidParameter(f'create {name}: invalid option: "remount"')


def _refuse_port(name: str, device: str) -> None:
    """The kernel's cifs takes a port as an option, not in the address."""
    try:
        port = urlsplit(device).port
    except ValueError as error:
        raise InvalidParameter(f"create {name}: error parsing mount device url: {error}") from None
    if port is not None:
        raise InvalidParameter(f"create {name}: port not allowed in CIFS device URL, include 'port' in 'o='")


def is_mount(options: dict[str, str]) -> bool:
    """Do these options make a mount? Empty ones, which Compose files hold, make none."""
    return bool(options.get("type") or options.get("device"))


def mount(paths: Paths, name: str, options: dict[str, str]) -> None:
    """Mount the volume where it is not mounted yet. Raises System with what the kernel says."""
    target = paths.volume_data(name)
    if target in mounted():
        return
    device, fstype = options["device"], options["type"]
    flags, propagation, data = parse(options.get("o", ""))
    words = ""
    try:
        words = with_address(data) if fstype in ("nfs", "nfs4", "cifs") else data
        k.mount(device, target, fstype, flags, words or None)
        try:
            if flags & k.MS_BIND and flags & _BIND_FLAGS:
                k.mount(None, target, None, k.MS_REMOUNT | k.MS_BIND | (flags & _BIND_FLAGS))
            if propagation:
                k.mount(None, target, None, propagation)
        except BaseException:
            k.umount2(target, k.MNT_DETACH)
            raise
    except OSError as error:
        about = f", flags: {flags:#x}" if flags else ""
        about += f", data: {without_password(words)}" if words else ""
        raise System(
            f"error while mounting volume '{target}': failed to mount local volume: "
            f"mount {device}:{target}{about}: {(error.strerror or 'error').lower()}"
        ) from None


def unmount(paths: Paths, name: str) -> None:
    """Take everything off the volume's directory; nothing there is no fault.

    Containers that run keep what they have: theirs is a copy in a mount namespace of their own.
    """
    while True:
        try:
            k.umount2(paths.volume_data(name), k.MNT_DETACH | k.UMOUNT_NOFOLLOW)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):  # nothing is mounted there
                raise
            return


def parse(text: str) -> tuple[int, int, str]:
    """`o` -> (flags of mount(2), propagation, the file system's own options)."""
    flags = propagation = 0
    data = []
    for word in filter(None, text.split(",")):
        if word in _FLAGS:
            flags |= _FLAGS[word]
        elif word in _CLEARS:
            flags &= ~_CLEARS[word]
        elif word in _PROPAGATIONS:
            propagation |= _PROPAGATIONS[word]
        else:
            data.append(word)
    return flags, propagation, ",".join(data)


def with_address(data: str) -> str:
    """The name of a server as its address: the kernel takes no names. Raises OSError."""
    words = data.split(",")
    for index, word in enumerate(words):
        key, _, value = word.partition("=")
        if key == "addr" and value:
            try:
                answers = socket.getaddrinfo(value, None, type=socket.SOCK_STREAM)
                # IPv4 first, as Go's net.ResolveIPAddr and so dockerd
                found = min(answers, key=lambda answer: answer[0] != socket.AF_INET)[4][0]
            except socket.gaierror as error:
                raise OSError(errno.EHOSTUNREACH, f"error resolving {value}: {error.strerror}") from None
            words[index] = f"addr={found}"
    return ",".join(words)


def without_password(data: str) -> str:
    return ",".join("password=********" if w.startswith("password=") else w for w in data.split(","))


def mounted() -> set[str]:
    """Every place in this mount namespace where something is mounted; proc_pid_mountinfo(5)."""
    with open("/proc/self/mountinfo", "rb") as file:
        fields = [line.split(b" ", 5)[4] for line in file]
    return {os.fsdecode(_unescape(place)) for place in fields}


def _unescape(place: bytes) -> bytes:
    for code, char in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        place = place.replace(code, char)
    return place
