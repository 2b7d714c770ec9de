"""What a container shares with another or with the host: namespaces, /dev/shm, /etc's files, an init."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from onggi.engine.containers import etc_files
from onggi.engine.oci import process
from onggi.engine.oci.namespaces import Joined
from onggi.engine.oci.process import Init
from onggi.errors import Conflict, InvalidParameter
from onggi.kernel import mounts
from onggi.spawn import init as reaper

if TYPE_CHECKING:
    from onggi.engine.containers.table import Container
    from onggi.engine.engine import Engine
    from onggi.engine.record import ContainerRecord

_INITS = ("docker-init", "tini-static", "catatonit")


def other(engine: Engine, mode: str) -> Container | None:
    """The running container that `container:ID` names. Raises NoSuchContainer, Conflict."""
    kind, _, name = mode.partition(":")
    if kind != "container":
        return None
    found = engine.containers.get(name)
    if not found.running:
        raise Conflict(
            f"cannot join namespace of a non running container: container {found.id} is not running"
        )
    return found


def joined(engine: Engine, record: ContainerRecord, netns_path: str, userns_path: str = "") -> Joined:
    """Paths of the namespaces to enter. Raises NoSuchContainer, Conflict."""
    host = record.host_config
    network = other(engine, host.network_mode)
    pid = other(engine, host.pid_mode)
    ipc = other(engine, host.ipc_mode)
    if ipc is not None and ipc.record.host_config.ipc_mode not in ("shareable", "host"):
        raise Conflict(
            f"cannot join IPC namespace of container {ipc.id}: non-shareable IPC "
            "(hint: use IpcMode:shareable for the donor container)"
        )
    return Joined(
        network=f"/proc/{network.record.pid}/ns/net" if network else netns_path,
        pid=f"/proc/{pid.record.pid}/ns/pid" if pid else "",
        ipc=f"/proc/{ipc.record.pid}/ns/ipc" if ipc else "",
        user=userns_path,
    )


def shm_path(engine: Engine, record: ContainerRecord) -> str:
    """The host path of a /dev/shm that is shared, or "". A shareable one is a tmpfs of ours, mounted here."""
    mode = record.host_config.ipc_mode
    donor = other(engine, mode)
    if donor is not None:
        return "/dev/shm" if donor.record.host_config.ipc_mode == "host" else _shm_dir(engine, donor.id)
    if mode != "shareable":
        return ""
    path = _shm_dir(engine, record.id)
    os.makedirs(path, 0o700, exist_ok=True)
    if not os.path.ismount(path):
        flags = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC
        mounts.mount("shm", path, "tmpfs", flags, f"mode=1777,size={record.host_config.shm_size}")
    return path


def _shm_dir(engine: Engine, container_id: str) -> str:
    return f"{engine.paths.container_dir(container_id)}/shm"


def etc_dir(engine: Engine, record: ContainerRecord) -> str:
    """Where the three files of /etc are: one's own, or those of the container whose network is shared."""
    donor = other(engine, record.host_config.network_mode)
    return engine.paths.container_dir(donor.id if donor else record.id)


def hostname(engine: Engine, record: ContainerRecord) -> str:
    """The host name: with another container's network comes its name."""
    donor = other(engine, record.host_config.network_mode)
    return etc_files.hostname(donor.record if donor else record)


def init(engine: Engine, record: ContainerRecord) -> Init | None:
    """The reaper of --init: --init-path's, ours, or one of the host's where ours does not run.

    Raises InvalidParameter where there is none.
    """
    if not record.host_config.init:
        return None
    if engine.config.init_path:
        return Init(path=engine.config.init_path, target=process.FOREIGN_INIT_TARGET)
    if os.uname().machine in reaper.MACHINES:
        path = engine.paths.reaper
        if not os.path.exists(path):
            reaper.write(path, os.uname().machine)
        return Init(path=path, target=process.INIT_TARGET)
    for name in _INITS:
        found = shutil.which(name)
        if found:
            return Init(path=found, target=process.FOREIGN_INIT_TARGET)
    raise InvalidParameter("--init: no docker-init, tini-static or catatonit on this host (see --init-path)")
