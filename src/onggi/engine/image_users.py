"""A container's user by name, looked up in its root; remembered for roots whose /etc is still the image's.

Opening a root costs about a millisecond, so the answer for (image, user, groups) is kept, and used while the
container's own layer has no /etc.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onggi.engine.containers import init_layer
from onggi.engine.oci.process import User
from onggi.images import view

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord

KEPT = 1024
_HIDING = {
    *(
        f"{space}.overlay.{name}"
        for space in ("trusted", "user")
        for name in ("opaque", "redirect", "metacopy")
    ),
    "user.fuseoverlayfs.opaque",
}
_Key = tuple[str, str, tuple[str, ...]]
_known: OrderedDict[_Key, User] = OrderedDict()


def of_container(engine: Engine, record: ContainerRecord, user: str, groups: Sequence[str]) -> User:
    """The user of a container that does not run yet. Blocking. Raises InvalidParameter, OSError."""
    key = (record.image_id, user, tuple(groups))
    pristine = _etc_is_the_images(engine, record)
    if pristine and key in _known:
        return _known[key]
    root_fd = view.open_root(init_layer.mounts(engine, record))
    try:
        found = of_root(root_fd, user, groups)
    finally:
        os.close(root_fd)
    if pristine:
        _known[key] = found
        if len(_known) > KEPT:
            _known.popitem(last=False)
    return found


def of_running(pid: int, user: str, groups: Sequence[str]) -> User:
    """The user of an exec, by a running container's root. Blocking. Raises InvalidParameter."""
    root_fd = view.open_running(pid)
    try:
        return of_root(root_fd, user, groups)
    finally:
        os.close(root_fd)


def _etc_is_the_images(engine: Engine, record: ContainerRecord) -> bool:
    """Has the container's own layer nothing to say of its accounts? The copying snapshotter cannot tell: no.

    A run leaves /etc there, with the places of our three files; as long as it is a directory that the layers
    below shine through (overlayfs: no opaque one, no redirect), it changes nothing.
    """
    if not engine.snapshots.stackable or any(m.target.startswith("/etc") for m in record.mounts):
        return False
    upper = engine.snapshots.tree(record.snapshot)
    etc = f"{upper}/etc"
    try:
        mode = os.lstat(etc).st_mode
    except FileNotFoundError:
        return not os.path.lexists(f"{upper}/.wh.etc")
    if not stat.S_ISDIR(mode) or set(os.listxattr(etc)) & _HIDING:
        return False
    return not {"passwd", "group", ".wh.passwd", ".wh.group", ".wh..wh..opq"}.intersection(os.listdir(etc))


def of_root(root_fd: int, user: str, groups: Sequence[str]) -> User:
    """The user of a process in an open tree. Blocking. Raises InvalidParameter."""
    account = view.resolve_user(root_fd, user)
    more = view.resolve_groups(root_fd, tuple(groups)) if groups else ()
    # The process's own group is one of them, or setgroups(2) gives away what the group is denied
    # (CVE-2022-36109).
    extra = tuple(dict.fromkeys((account.gid, *account.groups, *more)))
    return User(uid=account.uid, gid=account.gid, groups=extra, home=account.home)
