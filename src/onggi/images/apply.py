"""Unpack archives below a directory descriptor: image layers (apply), and what `docker cp` sends (extract).

    apply(stream, root_fd, whiteouts="overlay")    a layer into a directory of its own, for overlayfs
    apply(stream, root_fd, whiteouts="delete")     a layer onto a copy of its parent (native snapshots)
    extract(stream, root_fd, into=b"srv/www", ...)    an archive into a directory of a container's tree

Nothing outside `root_fd` is touched, whatever the archive says. On an error the tree is left as it is, half
unpacked: the caller owns the directory and removes it (apply) or reports it (extract, as Docker does).
The stream is plain tar; images/compression.py is what stands before it. What is read ends at the archive's
trailer: drain the stream before its digest is asked for.
Not here: how a member is made (unpack.py), the archive format (tar/), paths (tree.py).
"""

from __future__ import annotations

import msgspec

from onggi.images.marks import MARKS
from onggi.images.owners import Owners
from onggi.images.tar.reader import Reader
from onggi.images.unpack import DEFAULT_LIMITS, Limits, Policy, Unpacker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Source(Protocol):
        def read(self, size: int, /) -> bytes: ...


class Applied(msgspec.Struct, frozen=True):
    """What was unpacked: content bytes as stored in the archive, members, and what this place cannot hold.

    `skipped` names members or attributes that were left out because the file system has no extended
    attributes or the user namespace no devices; at most 16 are named.
    """

    size: int
    entries: int
    skipped: tuple[str, ...] = ()


def apply(
    stream: Source,
    root_fd: int,
    *,
    whiteouts: str,
    limits: Limits = DEFAULT_LIMITS,
) -> Applied:
    """Unpack a layer. `whiteouts` is the snapshotter's word: "overlay", "overlay-user" (opaque directories
    are marked for mounts with `userxattr`), "files" (whiteouts as fuse-overlayfs reads them), "delete".

    Raises BadArchive, TooLarge (a limit), NoSpace, System.
    """
    if whiteouts == "delete":
        return _run(Unpacker(root_fd, policy=Policy.DELETE, limits=limits), stream)
    unpacker = Unpacker(root_fd, policy=Policy.OVERLAY, marks=MARKS[whiteouts], limits=limits)
    return _run(unpacker, stream)


def extract(
    stream: Source,
    root_fd: int,
    *,
    into: bytes = b"",
    own_root: bool = False,
    owner: tuple[int, int] | None = None,
    owners: Owners | None = None,
    no_overwrite_dir_non_dir: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Applied:
    """Unpack an archive into the directory `into` of a tree; names that look like whiteouts are plain names.

    With `own_root` the archive's "./" is the directory itself. `owner` replaces every member's owner,
    `owners` says what the archive's ids are on the host.
    With `no_overwrite_dir_non_dir` a directory is never replaced by something else nor something else by
    a directory. Raises as apply().
    """
    unpacker = Unpacker(
        root_fd,
        policy=Policy.KEEP,
        into=into,
        own_root=own_root,
        owner=owner,
        owners=owners,
        no_overwrite_dir_non_dir=no_overwrite_dir_non_dir,
        limits=limits,
    )
    return _run(unpacker, stream)


def _run(unpacker: Unpacker, stream: Source) -> Applied:
    with unpacker:
        unpacker.run(Reader(stream))
        return Applied(unpacker.size, unpacker.entries, tuple(unpacker.skipped))


__all__ = ["DEFAULT_LIMITS", "Applied", "Limits", "apply", "extract"]
