"""Images mounted for the host's programs: read-only, at <exec root>/images/HEX, until they are unmounted.

Nobody but root reaches them (the directory above is 0700), and they are nosuid and nodev: what is in an image
is somebody else's. The row is written before the mount and goes after it; a mount is counted, and only the
last unmount takes it away. They outlive the engine; `recover` compares rows with mounts, and a boot leaves
neither. Why they are in the host's mount namespace: docs/decisions/image-mounts.md.
Failpoints: image-mount.row-written, image-mount.mounted, image-mount.unmounted.
"""

from __future__ import annotations

import errno
import os

import msgspec

from onggi import failpoints
from onggi.errors import Conflict
from onggi.images.images import Image, Images
from onggi.images.resolve import resolve_id, runnable
from onggi.images.view import attach
from onggi.kernel import mounts as kernel
from onggi.spawn.mounting import detached
from onggi.spec import digest as digests
from onggi.spec import platform as platforms
from onggi.store import image_mounts as rows

RESTRICTED = kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV


class Mounted(msgspec.Struct, frozen=True):
    """A mounted image: where, and how often it was asked for."""

    id: str
    path: str
    names: list[str]
    uses: int


def mount(images: Images, text: str, platform: platforms.Platform | None = None) -> Mounted:
    """Mount an image, or count one more use. Raises NoSuchImage, InvalidParameter (an artifact), OSError."""
    with images.lock:
        image = runnable(images, text, platform)
        path = images.paths.image_mount(image.id)
        row = rows.get(images.database, image.id)
        if row is None or not row.uses or path not in _mount_points():
            rows.put(images.database, image.id, 0)
            failpoints.hit("image-mount.row-written")
            try:
                _attach(images, image, path)
            except BaseException:
                release(images, image.id)
                raise
            failpoints.hit("image-mount.mounted")
        uses = row.uses + 1 if row else 1
        rows.put(images.database, image.id, uses)
        return Mounted(image.id, path, image.repo_tags, uses)


def unmount(images: Images, text: str, platform: platforms.Platform | None = None, *, force: bool) -> None:
    """Take one use back, with `force` all; the last one unmounts. Raises NoSuchImage, Conflict (not mounted,
    or a program still uses it).
    """
    with images.lock:
        image_id = runnable(images, text, platform).id if platform else resolve_id(images, text)
        row = rows.get(images.database, image_id)
        if row is None:
            raise Conflict(f"image {text} is not mounted")
        if row.uses > 1 and not force:
            rows.put(images.database, image_id, row.uses - 1)
            return
        release(images, image_id, lazily=force)


def list_(images: Images) -> list[Mounted]:
    """All that are mounted."""
    found = []
    with images.lock:
        for row in rows.list_(images.database):
            image = images.get(row.image_id)
            if image is not None and row.uses:
                path = images.paths.image_mount(image.id)
                found.append(Mounted(image.id, path, image.repo_tags, row.uses))
    return found


def path_of(images: Images, image_id: str) -> str:
    """Where an image is mounted; empty for one that is not."""
    row = rows.get(images.database, image_id)
    return images.paths.image_mount(image_id) if row is not None else ""


def release(images: Images, image_id: str, *, lazily: bool = True) -> None:
    """Unmount, whatever is counted; not mounted is no fault. `lazily` leaves it to those who still use it.

    Raises Conflict without `lazily` while somebody does.
    """
    if rows.get(images.database, image_id) is None:
        return
    path = images.paths.image_mount(image_id)
    _detach(path, lazily=lazily)
    failpoints.hit("image-mount.unmounted")
    rows.delete(images.database, image_id)


def recover(images: Images) -> None:
    """Once at start: what was half made goes, and rows of mounts that a boot took away."""
    known = _mount_points()
    for row in rows.list_(images.database):
        path = images.paths.image_mount(row.image_id)
        if not row.uses or path not in known or images.get(row.image_id) is None:
            release(images, row.image_id)
    directory = images.paths.image_mounts_dir
    kept = {images.paths.image_mount(row.image_id) for row in rows.list_(images.database)}
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        if f"{directory}/{name}" not in kept:
            _detach(f"{directory}/{name}", lazily=True)


def _attach(images: Images, image: Image, path: str) -> None:
    os.makedirs(images.paths.image_mounts_dir, 0o700, exist_ok=True)
    os.makedirs(path, 0o700, exist_ok=True)
    (source, target, fstype, flags, *rest) = images.snapshots.view(image.top)[0]
    attach(detached((source, target, fstype, flags | RESTRICTED, *rest)), path)  # type: ignore[arg-type]


def _detach(path: str, *, lazily: bool) -> None:
    """Everything that lies on the directory, and the directory."""
    flags = kernel.UMOUNT_NOFOLLOW | (kernel.MNT_DETACH if lazily else 0)
    try:
        while True:
            kernel.umount2(path, flags)
    except OSError as error:
        if error.errno == errno.EBUSY:
            short = digests.short(os.path.basename(path))
            raise Conflict(f"image {short} is mounted at {path}, and a program uses it there") from None
        if error.errno not in (errno.EINVAL, errno.ENOENT):  # nothing is mounted there any more
            raise
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return


def _mount_points() -> set[str]:
    """The fifth field of each mount, proc_pid_mountinfo(5): blanks in it are written in octal."""
    with open("/proc/self/mountinfo", "rb") as file:
        found = {line.split(b" ")[4] for line in file}
    return {os.fsdecode(one.replace(b"\\040", b" ").replace(b"\\134", b"\\")) for one in found}
