"""Overlays that fuse-overlayfs(1) serves, where the kernel mounts none for us.

    open /dev/fuse, fsopen("fuse"), fsmount ----> a detached mount, for whoever gets the descriptor
         \\--> fuse-overlayfs -o lowerdir=a:b,upperdir=c,workdir=d /dev/fd/N      answers what is asked of it

The program lives as long as its mount: when the last place and the last descriptor are gone the kernel ends
the connection, and it ends (fuse_session_loop(3): ENODEV). So nothing is to be unmounted or killed, whoever
dies first, and it outlives the engine. It must not live in a mount namespace that holds its mount, or each
would keep the other: the parent of a container starts it, and who makes a view does so before he goes into
a namespace of his own.

What a container has written is in its upper directory at once (writeback=0), where commit and diff read it.

Source: fuse(4), Documentation/filesystems/fuse.rst; libfuse 3.3, "/dev/fd/N" as the mount point.
"""

from __future__ import annotations

import errno
import os

from onggi.kernel import files, mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # the signal module imports enum, 6 ms

DEVICE = "/dev/fuse"
OUTPUT_BYTES = 4096
_OPTIONS: list[tuple[str, str | None]] = [
    ("subtype", "fuse-overlayfs"),
    ("rootmode", "40000"),
    ("user_id", "0"),
    ("group_id", "0"),
    ("default_permissions", None),  # the kernel judges by owners and modes, as on any file system
    ("allow_other", None),
]
_DEVICE_FD = 3  # in the program


def detached(program: str, layers: list[str], options: list[tuple[str, str | None]], attributes: int) -> int:
    """A detached overlay of absolute paths, top first. Raises OSError, which tells what the program said."""
    given = dict(options)
    words = [f"lowerdir={':'.join(map(_plain, layers))}", "writeback=0"]
    words += [f"{key}={_plain(given[key] or '')}" for key in ("upperdir", "workdir") if key in given]
    device_fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        listed = [("fd", str(device_fd)), *_OPTIONS]
        tree_fd = mounts.make_filesystem("fuse", "fuse-overlayfs", listed, attributes)
        try:
            _serve(program, ",".join(words), device_fd)
        except BaseException:
            os.close(tree_fd)
            raise
    finally:
        os.close(device_fd)
    return tree_fd


def _plain(path: str) -> str:
    if any(character in path for character in ':,\\"'):
        raise OSError(
            errno.EINVAL, "fuse-overlayfs takes no colon, comma, quote or backslash in a path", path
        )
    return path


def _serve(program: str, options: str, device_fd: int) -> None:
    """Start the program. It goes into the background when it has read the layers."""
    output_fd = files.memfd("output")
    try:
        try:
            pid = os.posix_spawn(
                program,
                [program, "-o", options, f"/dev/fd/{_DEVICE_FD}"],
                {},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                    (os.POSIX_SPAWN_DUP2, output_fd, 1),
                    (os.POSIX_SPAWN_DUP2, output_fd, 2),
                    (os.POSIX_SPAWN_DUP2, device_fd, _DEVICE_FD),
                ],
                setsigmask=(),
                setsigdef=(int(signal.SIGPIPE), int(signal.SIGXFSZ)),
            )
        except OSError as error:
            raise OSError(error.errno, error.strerror, program) from None
        _, status = os.waitpid(pid, 0)
        if status:
            said = os.pread(output_fd, OUTPUT_BYTES, 0).decode("utf-8", "replace").strip()
            raise OSError(errno.EIO, _reason(said), program)
    finally:
        os.close(output_fd)


def _reason(said: str) -> str:
    """What it said last; version 1.10 first finds fault with options of its own."""
    for line in reversed(said.splitlines()):
        if line.startswith("fuse-overlayfs: "):
            return line.removeprefix("fuse-overlayfs: ")
    return "has failed"
