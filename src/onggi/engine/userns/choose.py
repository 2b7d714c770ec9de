"""Which ids a container gets: decided and written down at create, held to until it is removed.

A container that joins a namespace of another one joins that one's user namespace too, as with Docker: else
it had no rights over what it joins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onggi.engine import rootless
from onggi.engine.access import callers
from onggi.engine.userns import words
from onggi.engine.userns.maps import IdMaps
from onggi.engine.userns.words import Mode
from onggi.errors import Conflict, InvalidParameter
from onggi.spec import subids
from onggi.spec.subids import Extent
from onggi.store import id_ranges

if TYPE_CHECKING:
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord
    from onggi.wire.containers import HostConfig

POOL_OWNER = "containers"  # podman's name in /etc/subuid for what --userns=auto gives away
POOL = [(1 << 31, (1 << 32) - 2)]  # without such a line: what its manual recommends, far above useradd's ids


def mode(engine: Engine, host: HostConfig) -> Mode | None:
    """What the container's user namespace is to be; None: it has none. Raises InvalidParameter."""
    found = words.parse(host.userns_mode)
    if found.kind == "host" or (not found.kind and engine.remapped is None):
        return None
    return found


def validate(engine: Engine, host: HostConfig) -> None:
    """What cannot be had together with a user namespace, in Docker's words. Raises InvalidParameter."""
    found = mode(engine, host)
    if found is None:
        return
    rootless.refuse(
        engine.config.rootless,
        f"--userns={host.userns_mode}",
        "idmapped mounts need rights over the file system",
    )
    if engine.snapshots.served:
        raise InvalidParameter(
            f"--userns={host.userns_mode}: the storage driver fuse-overlayfs maps no owners"
        )
    if host.privileged:
        raise InvalidParameter(
            "privileged mode is incompatible with user namespaces.  You must run the container in the host "
            "namespace when running privileged mode"
        )
    if host.network_mode == "host":
        raise InvalidParameter("cannot share the host's network namespace when user namespaces are enabled")
    if host.pid_mode == "host":
        raise InvalidParameter("cannot share the host PID namespace when user namespaces are enabled")
    if found.kind and _peers(host):
        raise InvalidParameter(
            f"--userns={host.userns_mode} cannot be combined with a namespace of another container: "
            "that container's user namespace comes with it"
        )
    if found.kind == "keep-id":
        _caller()


def allocate(engine: Engine, record: ContainerRecord) -> IdMaps | None:
    """At create: the ids, with the row that owns them. Raises InvalidParameter, Unavailable."""
    found = mode(engine, record.host_config)
    if found is None:
        return None
    if not found.kind:
        return engine.remapped
    if found.kind == "keep-id":
        return _keep_id(engine, record.id, found)
    first = _range(engine, record.id, found.size)
    _refuse_others(engine, record.id, (*found.uids, *found.gids))
    whole = ((0, first, found.size),)
    return IdMaps(uids=carve(whole, found.uids), gids=carve(whole, found.gids))


def of_run(engine: Engine, record: ContainerRecord) -> tuple[IdMaps | None, int]:
    """At start: the maps, and the pid of the process whose user namespace is joined (0: a new one).

    Raises Conflict where two containers are joined whose user namespaces differ.
    """
    peers = _peers(record.host_config)
    if not peers or record.host_config.userns_mode == "host":
        return record.id_maps, 0
    found = [engine.containers.get(name).record for name in peers]
    if any(one.id_maps != found[0].id_maps for one in found):
        raise Conflict(
            f"cannot join namespaces of containers {found[0].id} and {found[-1].id}: "
            "their user namespaces differ"
        )
    return found[0].id_maps, found[0].pid if found[0].id_maps else 0


def _peers(host: HostConfig) -> list[str]:
    pairs = [word.partition(":") for word in (host.network_mode, host.pid_mode, host.ipc_mode)]
    return [name for kind, _, name in pairs if kind == "container"]


def _caller() -> tuple[int, int]:
    caller = callers.current()
    if caller is None or caller.uid is None or caller.gid is None:
        raise InvalidParameter("--userns=keep-id: the engine does not know who you are: use its unix socket")
    if caller.uid == 0:
        raise InvalidParameter("--userns=keep-id is for callers other than root: root would be root inside")
    return caller.uid, caller.gid


def _keep_id(engine: Engine, owner: str, found: Mode) -> IdMaps:
    uid, gid = _caller()
    inside = (uid if found.uid is None else found.uid, gid if found.gid is None else found.gid)
    size = max(found.size, *(number + 1 for number in inside))
    first = _range(engine, owner, size)
    whole = ((0, first, size),)
    return IdMaps(uids=carve(whole, ((inside[0], uid, 1),)), gids=carve(whole, ((inside[1], gid, 1),)))


def _range(engine: Engine, owner: str, size: int) -> int:
    pool = _pool()
    others = [
        (one.first, one.first + one.size)
        for path in (subids.SUBUID, subids.SUBGID)
        for one in subids.read(path)
        if one.owner != POOL_OWNER
    ]
    return id_ranges.take(engine.database, owner, size, pool, others)


def _pool() -> list[tuple[int, int]]:
    users, groups = (
        [(one.first, one.first + one.size) for one in subids.read(path) if one.owner == POOL_OWNER]
        for path in (subids.SUBUID, subids.SUBGID)
    )
    if users != groups:
        raise InvalidParameter(
            f'--userns: "{POOL_OWNER}" must have the same ranges in {subids.SUBUID} and {subids.SUBGID}'
        )
    return users or POOL


def _refuse_others(engine: Engine, owner: str, asked: tuple[Extent, ...]) -> None:
    """Nobody maps what another container has for itself."""
    for other, (first, count) in id_ranges.owners(engine.database).items():
        for _, host, size in asked:
            if host < first + count and host + size > first and other != owner:
                raise Conflict(f"--userns: ids {host} to {host + size - 1} are those of container {other}")


def carve(whole: tuple[Extent, ...], instead: tuple[Extent, ...]) -> tuple[Extent, ...]:
    """`whole` with the ids inside that `instead` names mapped as it says."""
    left = list(whole)
    for inside, _, size in instead:
        cut = []
        for first, host, length in left:
            if before := min(max(inside - first, 0), length):
                cut.append((first, host, before))
            begin = max(inside + size, first)
            if begin < first + length:
                cut.append((begin, host + begin - first, first + length - begin))
        left = cut
    return tuple(sorted([*left, *instead]))
