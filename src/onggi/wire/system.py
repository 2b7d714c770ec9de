"""The engine itself in the Engine API, as JSON: version, info, events, disk usage (engine-api 1.55)."""

from __future__ import annotations

from msgspec import field

from onggi.wire.base import Wire
from onggi.wire.containers import ContainerSummary
from onggi.wire.images import ImageDeleteResponseItem, ImageSummary
from onggi.wire.volumes import Volume


class EventActor(Wire, frozen=True, kw_only=True):
    id: str = field(name="ID", default="")
    attributes: dict[str, str] = field(name="Attributes", default_factory=dict)


class EventMessage(Wire, frozen=True, kw_only=True):
    """One event; `status`, `id` and `from` repeat the action, the actor and its image for old clients."""

    OMIT = ("status", "id", "from_", "scope")

    status: str = field(name="status", default="")
    id: str = field(name="id", default="")
    from_: str = field(name="from", default="")
    type: str = field(name="Type", default="")
    action: str = field(name="Action", default="")
    actor: EventActor = field(name="Actor", default_factory=EventActor)
    scope: str = field(name="scope", default="local")
    time: int = field(name="time", default=0)
    time_nano: int = field(name="timeNano", default=0)


class SystemVersionPlatform(Wire, frozen=True, kw_only=True):
    name: str = field(name="Name", default="")


class SystemVersionComponents(Wire, frozen=True, kw_only=True):
    name: str = field(name="Name", default="")
    version: str = field(name="Version", default="")
    details: dict[str, str] = field(name="Details", default_factory=dict)


class SystemVersion(Wire, frozen=True, kw_only=True):
    OMIT = ("experimental",)

    platform: SystemVersionPlatform = field(name="Platform", default_factory=SystemVersionPlatform)
    components: list[SystemVersionComponents] = field(name="Components", default_factory=list)
    version: str = field(name="Version", default="")
    api_version: str = field(name="ApiVersion", default="")
    min_api_version: str = field(name="MinAPIVersion", default="")
    git_commit: str = field(name="GitCommit", default="")
    go_version: str = field(name="GoVersion", default="")
    os: str = field(name="Os", default="")
    arch: str = field(name="Arch", default="")
    kernel_version: str = field(name="KernelVersion", default="")
    experimental: bool = field(name="Experimental", default=False)
    build_time: str = field(name="BuildTime", default="")


class PluginsInfo(Wire, frozen=True, kw_only=True):
    NULL = ("authorization",)

    volume: list[str] = field(name="Volume", default_factory=list)
    network: list[str] = field(name="Network", default_factory=list)
    authorization: list[str] = field(name="Authorization", default_factory=list)
    log: list[str] = field(name="Log", default_factory=list)


class IndexInfo(Wire, frozen=True, kw_only=True):
    name: str = field(name="Name", default="")
    mirrors: list[str] = field(name="Mirrors", default_factory=list)
    secure: bool = field(name="Secure", default=False)
    official: bool = field(name="Official", default=False)


class RegistryServiceConfig(Wire, frozen=True, kw_only=True):
    NULL = ("mirrors",)

    insecure_registry_cidrs: list[str] = field(name="InsecureRegistryCIDRs", default_factory=list)
    index_configs: dict[str, IndexInfo] = field(name="IndexConfigs", default_factory=dict)
    mirrors: list[str] = field(name="Mirrors", default_factory=list)


class Runtime(Wire, frozen=True, kw_only=True):
    OMIT = ("runtime_args", "status")

    path: str = field(name="path", default="")
    runtime_args: list[str] = field(name="runtimeArgs", default_factory=list)
    status: dict[str, str] = field(name="status", default_factory=dict)


class Commit(Wire, frozen=True, kw_only=True):
    id: str = field(name="ID", default="")


class SwarmInfo(Wire, frozen=True, kw_only=True):
    """What `info` says of the swarm; this engine is in none."""

    node_id: str = field(name="NodeID", default="")
    node_addr: str = field(name="NodeAddr", default="")
    local_node_state: str = field(name="LocalNodeState", default="inactive")
    control_available: bool = field(name="ControlAvailable", default=False)
    error: str = field(name="Error", default="")
    remote_managers: list[str] | None = field(name="RemoteManagers", default=None)


class AddressPool(Wire, frozen=True, kw_only=True):
    base: str = field(name="Base", default="")
    size: int = field(name="Size", default=0)


class DeviceInfo(Wire, frozen=True, kw_only=True):
    """A device that containers may ask for by name."""

    source: str = field(name="Source", default="")
    id: str = field(name="ID", default="")


class SystemInfo(Wire, frozen=True, kw_only=True):
    OMIT = ("default_address_pools", "discovered_devices")
    NULL = ("driver_status", "warnings")

    id: str = field(name="ID", default="")
    containers: int = field(name="Containers", default=0)
    containers_running: int = field(name="ContainersRunning", default=0)
    containers_paused: int = field(name="ContainersPaused", default=0)
    containers_stopped: int = field(name="ContainersStopped", default=0)
    images: int = field(name="Images", default=0)
    driver: str = field(name="Driver", default="")
    driver_status: list[list[str]] = field(name="DriverStatus", default_factory=list)
    docker_root_dir: str = field(name="DockerRootDir", default="")
    plugins: PluginsInfo = field(name="Plugins", default_factory=PluginsInfo)
    memory_limit: bool = field(name="MemoryLimit", default=False)
    swap_limit: bool = field(name="SwapLimit", default=False)
    cpu_cfs_period: bool = field(name="CpuCfsPeriod", default=False)
    cpu_cfs_quota: bool = field(name="CpuCfsQuota", default=False)
    cpu_shares: bool = field(name="CPUShares", default=False)
    cpu_set: bool = field(name="CPUSet", default=False)
    pids_limit: bool = field(name="PidsLimit", default=False)
    oom_kill_disable: bool = field(name="OomKillDisable", default=False)
    ipv4_forwarding: bool = field(name="IPv4Forwarding", default=False)
    debug: bool = field(name="Debug", default=False)
    n_fd: int = field(name="NFd", default=0)
    n_goroutines: int = field(name="NGoroutines", default=0)
    system_time: str = field(name="SystemTime", default="")
    logging_driver: str = field(name="LoggingDriver", default="")
    cgroup_driver: str = field(name="CgroupDriver", default="")
    cgroup_version: str = field(name="CgroupVersion", default="")
    n_events_listener: int = field(name="NEventsListener", default=0)
    kernel_version: str = field(name="KernelVersion", default="")
    operating_system: str = field(name="OperatingSystem", default="")
    os_version: str = field(name="OSVersion", default="")
    os_type: str = field(name="OSType", default="")
    architecture: str = field(name="Architecture", default="")
    ncpu: int = field(name="NCPU", default=0)
    mem_total: int = field(name="MemTotal", default=0)
    index_server_address: str = field(name="IndexServerAddress", default="")
    registry_config: RegistryServiceConfig = field(
        name="RegistryConfig", default_factory=RegistryServiceConfig
    )
    generic_resources: list[str] | None = field(name="GenericResources", default=None)
    http_proxy: str = field(name="HttpProxy", default="")
    https_proxy: str = field(name="HttpsProxy", default="")
    no_proxy: str = field(name="NoProxy", default="")
    name: str = field(name="Name", default="")
    labels: list[str] = field(name="Labels", default_factory=list)
    experimental_build: bool = field(name="ExperimentalBuild", default=False)
    server_version: str = field(name="ServerVersion", default="")
    runtimes: dict[str, Runtime] = field(name="Runtimes", default_factory=dict)
    default_runtime: str = field(name="DefaultRuntime", default="")
    swarm: SwarmInfo = field(name="Swarm", default_factory=SwarmInfo)
    live_restore_enabled: bool = field(name="LiveRestoreEnabled", default=False)
    isolation: str = field(name="Isolation", default="")
    init_binary: str = field(name="InitBinary", default="")
    containerd_commit: Commit = field(name="ContainerdCommit", default_factory=Commit)
    runc_commit: Commit = field(name="RuncCommit", default_factory=Commit)
    init_commit: Commit = field(name="InitCommit", default_factory=Commit)
    security_options: list[str] = field(name="SecurityOptions", default_factory=list)
    default_address_pools: list[AddressPool] = field(name="DefaultAddressPools", default_factory=list)
    warnings: list[str] = field(name="Warnings", default_factory=list)
    cdi_spec_dirs: list[str] = field(name="CDISpecDirs", default_factory=list)
    discovered_devices: list[DeviceInfo] = field(name="DiscoveredDevices", default_factory=list)


class BuildCache(Wire, frozen=True, kw_only=True):
    """A record of the build cache. `shared`: images have its layers too."""

    OMIT = ("parents",)

    id: str = field(name="ID", default="")
    parents: list[str] | None = field(name="Parents", default=None)
    type: str = field(name="Type", default="")
    description: str = field(name="Description", default="")
    in_use: bool = field(name="InUse", default=False)
    shared: bool = field(name="Shared", default=False)
    size: int = field(name="Size", default=0)
    created_at: str = field(name="CreatedAt", default="")
    last_used_at: str = field(name="LastUsedAt", default="")
    usage_count: int = field(name="UsageCount", default=0)


class BuildReason(Wire, frozen=True, kw_only=True):
    """Why a step ran: which parts of its key were others than in the run `before`. Onggi's own."""

    step: str = field(name="Step", default="")
    id: str = field(name="ID", default="")
    ran_at: str = field(name="RanAt", default="")
    cached: int = field(name="Cached", default=0)
    last_used_at: str = field(name="LastUsedAt", default="")
    before: str = field(name="Before", default="")
    changed: list[str] = field(name="Changed", default_factory=list)


class BuildPruneResponse(Wire, frozen=True, kw_only=True):
    """Answer of POST /build/prune."""

    caches_deleted: list[str] | None = field(name="CachesDeleted", default=None)
    space_reclaimed: int = field(name="SpaceReclaimed", default=0)


class SystemPrunePlan(Wire, frozen=True, kw_only=True):
    """Answer of GET /system/prune: what a prune of everything would remove. Onggi's own."""

    containers_deleted: list[str] = field(name="ContainersDeleted", default_factory=list)
    networks_deleted: list[str] = field(name="NetworksDeleted", default_factory=list)
    volumes_deleted: list[str] = field(name="VolumesDeleted", default_factory=list)
    images_deleted: list[ImageDeleteResponseItem] = field(name="ImagesDeleted", default_factory=list)
    caches_deleted: list[str] = field(name="CachesDeleted", default_factory=list)
    space_reclaimed: int = field(name="SpaceReclaimed", default=0)


class DiskUsage(Wire, frozen=True, kw_only=True):
    """Answer of GET /system/df; a part that was not asked for is null."""

    layers_size: int = field(name="LayersSize", default=0)
    images: list[ImageSummary] | None = field(name="Images", default=None)
    containers: list[ContainerSummary] | None = field(name="Containers", default=None)
    volumes: list[Volume] | None = field(name="Volumes", default=None)
    build_cache: list[BuildCache] | None = field(name="BuildCache", default=None)


class AuthConfig(Wire, frozen=True, kw_only=True):
    username: str = field(name="username", default="")
    password: str = field(name="password", default="")
    serveraddress: str = field(name="serveraddress", default="")
