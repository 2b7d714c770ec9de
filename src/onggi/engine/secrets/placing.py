"""Secrets and configs of one run: opened, and put where the container finds them.

    containers/ID/secrets      a directory that is always empty here. In the container's own mount namespace
                               a tmpfs lies on it with a file for each; each file is bound to its target,
                               read-only, and the directory is out of reach after the pivot.

The bytes travel in the plan, which is a file in memory (shims.py), so they are on no disk: where the kernel
has tmpfs without swap (Linux 6.4, tmpfs(5)) they are not on the swap device either.
"""

from __future__ import annotations

import errno
import os
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from onggi.engine.oci.mounts import Shown
from onggi.engine.record import MountRecord
from onggi.engine.secrets.record import CONFIG, SECRET, Kind, data, get
from onggi.errors import InvalidParameter, NotFound
from onggi.kernel import mounts
from onggi.spawn import plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord
    from onggi.spawn.plan import Step
    from onggi.wire.secrets import SecretFile

PAGE_BYTES = 65536  # the largest that Linux has


class Placed(NamedTuple):
    """Steps before the mounts, mounts, and `NAME=value` of a run."""

    staged: tuple[Step, ...] = ()
    mounts: tuple[Shown, ...] = ()
    environment: tuple[str, ...] = ()


class _Item(NamedTuple):
    file: SecretFile
    content: bytes


def placed(engine: Engine, record: ContainerRecord) -> Placed:
    """Blocking. Raises InvalidParameter, Corrupt, System, OSError."""
    host = record.host_config
    if not host.secrets and not host.configs:
        return Placed()
    items = [*_files(engine, record)]
    variables = environment(engine, record)
    if not items:
        return Placed(environment=variables)
    directory = f"{engine.paths.container_dir(record.id)}/secrets"
    os.makedirs(directory, 0o700, exist_ok=True)
    staged: list[Step] = [("stage", directory, _tmpfs(items))]
    shown = []
    for number, (file, content) in enumerate(items):
        source = f"{directory}/{number}"
        assert file.mode is not None
        staged.append(("secret-file", source, content, file.mode, int(file.uid), int(file.gid)))
        shown.append(Shown(record=MountRecord(type="bind", source=source, target=file.name, read_only=True)))
    return Placed(tuple(staged), tuple(shown), variables)


def environment(engine: Engine, record: ContainerRecord) -> tuple[str, ...]:
    """Secrets that are variables, of the container's process and of each exec. Blocking; raises as above."""
    found = []
    for each in record.host_config.secrets:
        if each.environment:
            content = _content(engine, SECRET, each.secret_id, each.secret_name)
            if b"\0" in content:
                raise InvalidParameter(f"secret {each.secret_name} has a zero byte: it cannot be a variable")
            found.append(f"{each.environment}={os.fsdecode(content)}")
    return tuple(found)


def _files(engine: Engine, record: ContainerRecord) -> Iterator[_Item]:
    for secret in record.host_config.secrets:
        if secret.file is not None:
            yield _Item(secret.file, _content(engine, SECRET, secret.secret_id, secret.secret_name))
    for config in record.host_config.configs:
        if config.file is not None:
            yield _Item(config.file, _content(engine, CONFIG, config.config_id, config.config_name))


def _content(engine: Engine, kind: Kind, id: str, name: str) -> bytes:
    """A 404 would be read as "no such container"."""
    try:
        return data(engine, kind, get(engine, kind, id))
    except NotFound:
        raise InvalidParameter(f"{kind.word} {name} not found") from None


def _tmpfs(items: list[_Item]) -> plan.Mount:
    size = sum(len(item.content) + PAGE_BYTES for item in items) + PAGE_BYTES
    flags = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC
    swap = ",noswap" if _knows_noswap() else ""
    return plan.mount("tmpfs", "/", "tmpfs", flags, f"mode=0700,size={size},nr_inodes={len(items) + 2}{swap}")


@cache
def _knows_noswap() -> bool:
    """Asked of the kernel once, with a file system that is nowhere."""
    try:
        os.close(mounts.make_filesystem("tmpfs", "tmpfs", [("size", "4k"), ("noswap", None)]))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True
