"""Everything durable about a container, as one frozen value: the JSON of its row in the database.

A change is a new record (`msgspec.structs.replace`) written by `Container.update`. What can be known from the
kernel or the shim (descriptors, tasks, connections) is not here but in `containers/table.py`.
"""

from __future__ import annotations

import msgspec

from onggi.engine.status import Status
from onggi.engine.userns.maps import IdMaps
from onggi.wire.containers import ContainerConfig, HostConfig, MountPoint
from onggi.wire.networks import EndpointSettings, PortBinding


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the health check; instants in ns."""

    started_at: int
    ended_at: int
    exit_code: int
    output: str


class HealthState(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is starting, healthy or unhealthy; `log` holds the last five probes, oldest first."""

    status: str = "starting"
    failing_streak: int = 0
    log: tuple[Probe, ...] = ()


class MountRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One mount that the user or the image asked for; `anonymous` volumes go with `rm -v` and `--rm`."""

    type: str  # bind, volume, tmpfs, image
    source: str  # host path, empty for tmpfs; an image's name as the user wrote it
    target: str
    name: str = ""  # of the volume
    read_only: bool = False
    propagation: str = ""
    mode: str = ""  # as the user wrote it: "ro,z"
    recursive: bool = True
    read_only_top: bool = False  # what is mounted below a read-only bind stays writable
    no_copy: bool = False
    anonymous: bool = False
    subpath: str = ""  # of a volume or an image; looked up at each start, by the kernel
    image_id: str = ""  # of an image mount
    image_top: str = ""  # its topmost layer
    mounted: bool = False  # a volume with mount options: volumes/mounted.py
    makes_source: bool = False  # a bind whose source is made where it lacks, at each start
    overlay: bool = False  # copy-on-write: changes go to the container's directory
    idmap: str = ""  # containers/idmaps.py
    exclude: tuple[str, ...] = ()  # below the target: what shows there what the image has
    tmpfs_data: str = ""  # options of mount(8): "size=64m,mode=1777,noexec"
    from_mounts: bool = False  # given with --mount or Mounts, so inspect shows it in HostConfig.Mounts

    def point(self) -> MountPoint:
        """Mounts of `docker inspect`."""
        return MountPoint(
            type=self.type,
            name=self.name,
            source=self.source,
            destination=self.target,
            driver="local" if self.type == "volume" else "",
            mode=self.mode,
            rw=not self.read_only,
            propagation=self.propagation or ("rprivate" if self.type == "bind" else ""),
        )


class ContainerRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A container. Instants in ns since 1970, 0 for never; `name` has no leading slash."""

    id: str
    name: str
    created_at: int
    image_id: str  # "sha256:..." of the image's configuration
    image_name: str  # as the user wrote it
    config: ContainerConfig  # merged with the image's, as inspect shows it
    host_config: HostConfig  # with defaults filled in, as inspect shows it
    snapshot: str = ""  # key of the active snapshot
    mounts: tuple[MountRecord, ...] = ()
    asked_endpoints: dict[str, EndpointSettings] = {}  # network name -> what create and connect asked for
    endpoints: dict[str, EndpointSettings] = {}  # the same while it runs, filled by networks/attach.py
    sandbox_id: str = ""
    ports: dict[str, list[PortBinding] | None] = {}  # published while it runs
    log_path: str = ""
    platform: str = "linux"

    complete: bool = False  # create came to its end; else reconcile.py removes what there is
    status: Status = Status.CREATED
    pid: int = 0
    root_pid: int = 0  # whose root is the container's, where that is not init (a sandbox)
    runtime: tuple[str, ...] = ()  # command line of the other OCI runtime that may hold something of it
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    restart_count: int = 0
    owner: str = ""  # who made it (access/callers.py, Caller.key)
    id_maps: IdMaps | None = None  # of its user namespace; None: the host's (engine/userns/)
    apparmor: str = ""  # the profile of its last start; empty where the kernel has no AppArmor
    manually_stopped: bool = False  # asked to stop since its last start: "unless-stopped" stays down
    exit_on_next: bool = False  # stopped or killed: no restart policy answers the next exit
    health: HealthState | None = None
    remove_volumes: bool = False  # status removing: its anonymous volumes go with it (rm -v)

    def encode(self) -> bytes:
        """The bytes of the row."""
        return _encoder.encode(self)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(ContainerRecord)


def decode(document: bytes | str) -> ContainerRecord:
    """A record out of its row. Raises msgspec.DecodeError where the row is not one."""
    return _decoder.decode(document)
