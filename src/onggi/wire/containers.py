"""Containers and exec instances of the Engine API, as JSON (engine-api 1.55)."""

from __future__ import annotations

from msgspec import field

from onggi.wire.base import ZERO_TIME, Wire
from onggi.wire.images import DriverData, HealthConfig, OCIDescriptor
from onggi.wire.networks import EndpointSettings, NetworkingConfig, PortBinding
from onggi.wire.secrets import ConfigReference, SecretReference


class HostConfigBlkioWeightDevice(Wire, frozen=True, kw_only=True):
    path: str = field(name="Path", default="")
    weight: int = field(name="Weight", default=0)


class ThrottleDevice(Wire, frozen=True, kw_only=True):
    path: str = field(name="Path", default="")
    rate: int = field(name="Rate", default=0)


class DeviceMapping(Wire, frozen=True, kw_only=True):
    path_on_host: str = field(name="PathOnHost", default="")
    path_in_container: str = field(name="PathInContainer", default="")
    cgroup_permissions: str = field(name="CgroupPermissions", default="")


class DeviceRequest(Wire, frozen=True, kw_only=True):
    driver: str = field(name="Driver", default="")
    count: int = field(name="Count", default=0)
    device_ids: list[str] = field(name="DeviceIDs", default_factory=list)
    capabilities: list[list[str]] = field(name="Capabilities", default_factory=list)
    options: dict[str, str] = field(name="Options", default_factory=dict)


class HostConfigUlimits(Wire, frozen=True, kw_only=True):
    name: str = field(name="Name", default="")
    soft: int = field(name="Soft", default=0)
    hard: int = field(name="Hard", default=0)


class HostConfigLogConfig(Wire, frozen=True, kw_only=True):
    type: str = field(name="Type", default="")
    config: dict[str, str] | None = field(name="Config", default=None)


class RestartPolicy(Wire, frozen=True, kw_only=True):
    name: str = field(name="Name", default="")
    maximum_retry_count: int = field(name="MaximumRetryCount", default=0)


class MountsBindOptions(Wire, frozen=True, kw_only=True):
    OMIT = (
        "propagation",
        "non_recursive",
        "create_mountpoint",
        "read_only_non_recursive",
        "read_only_force_recursive",
        "copy_on_write",
        "idmap",
        "exclude",
    )

    propagation: str = field(name="Propagation", default="")
    non_recursive: bool = field(name="NonRecursive", default=False)
    create_mountpoint: bool = field(name="CreateMountpoint", default=False)
    read_only_non_recursive: bool = field(name="ReadOnlyNonRecursive", default=False)
    read_only_force_recursive: bool = field(name="ReadOnlyForceRecursive", default=False)
    copy_on_write: bool = field(name="CopyOnWrite", default=False)  # these three are ours alone
    idmap: str = field(name="IDMap", default="")
    exclude: list[str] = field(name="Exclude", default_factory=list)


class VolumeOptionsDriverConfig(Wire, frozen=True, kw_only=True):
    OMIT = ("name", "options")

    name: str = field(name="Name", default="")
    options: dict[str, str] = field(name="Options", default_factory=dict)


class MountsVolumeOptions(Wire, frozen=True, kw_only=True):
    OMIT = ("no_copy", "labels", "driver_config", "subpath")

    no_copy: bool = field(name="NoCopy", default=False)
    labels: dict[str, str] = field(name="Labels", default_factory=dict)
    driver_config: VolumeOptionsDriverConfig | None = field(name="DriverConfig", default=None)
    subpath: str = field(name="Subpath", default="")


class MountsImageOptions(Wire, frozen=True, kw_only=True):
    OMIT = ("subpath",)

    subpath: str = field(name="Subpath", default="")


class MountsTmpfsOptions(Wire, frozen=True, kw_only=True):
    OMIT = ("size_bytes", "mode", "options")

    size_bytes: int = field(name="SizeBytes", default=0)
    mode: int = field(name="Mode", default=0)
    options: list[list[str]] = field(name="Options", default_factory=list)


class Mount(Wire, frozen=True, kw_only=True):
    OMIT = (
        "target",
        "source",
        "type",
        "read_only",
        "consistency",
        "bind_options",
        "volume_options",
        "image_options",
        "tmpfs_options",
    )

    target: str = field(name="Target", default="")
    source: str = field(name="Source", default="")
    type: str = field(name="Type", default="")
    read_only: bool = field(name="ReadOnly", default=False)
    consistency: str = field(name="Consistency", default="")
    bind_options: MountsBindOptions | None = field(name="BindOptions", default=None)
    volume_options: MountsVolumeOptions | None = field(name="VolumeOptions", default=None)
    image_options: MountsImageOptions | None = field(name="ImageOptions", default=None)
    tmpfs_options: MountsTmpfsOptions | None = field(name="TmpfsOptions", default=None)


class HostConfig(Wire, frozen=True, kw_only=True):
    OMIT = (
        "init",
        "mounts",
        "annotations",
        "storage_opt",
        "tmpfs",
        "sysctls",
        "runtime",
        "secrets",
        "configs",
        "security_learn",
    )
    NULL = (
        "binds",
        "volumes_from",
        "cap_add",
        "cap_drop",
        "extra_hosts",
        "group_add",
        "links",
        "security_opt",
        "device_cgroup_rules",
        "device_requests",
    )
    STRSLICE = ("cap_add", "cap_drop")

    cpu_shares: int = field(name="CpuShares", default=0)
    memory: int = field(name="Memory", default=0)
    cgroup_parent: str = field(name="CgroupParent", default="")
    blkio_weight: int = field(name="BlkioWeight", default=0)
    blkio_weight_device: list[HostConfigBlkioWeightDevice] = field(
        name="BlkioWeightDevice", default_factory=list
    )
    blkio_device_read_bps: list[ThrottleDevice] = field(name="BlkioDeviceReadBps", default_factory=list)
    blkio_device_write_bps: list[ThrottleDevice] = field(name="BlkioDeviceWriteBps", default_factory=list)
    blkio_device_read_iops: list[ThrottleDevice] = field(name="BlkioDeviceReadIOps", default_factory=list)
    blkio_device_write_iops: list[ThrottleDevice] = field(name="BlkioDeviceWriteIOps", default_factory=list)
    cpu_period: int = field(name="CpuPeriod", default=0)
    cpu_quota: int = field(name="CpuQuota", default=0)
    cpu_realtime_period: int = field(name="CpuRealtimePeriod", default=0)
    cpu_realtime_runtime: int = field(name="CpuRealtimeRuntime", default=0)
    cpuset_cpus: str = field(name="CpusetCpus", default="")
    cpuset_mems: str = field(name="CpusetMems", default="")
    devices: list[DeviceMapping] = field(name="Devices", default_factory=list)
    device_cgroup_rules: list[str] = field(name="DeviceCgroupRules", default_factory=list)
    device_requests: list[DeviceRequest] = field(name="DeviceRequests", default_factory=list)
    memory_reservation: int = field(name="MemoryReservation", default=0)
    memory_swap: int = field(name="MemorySwap", default=0)
    memory_swappiness: int | None = field(name="MemorySwappiness", default=None)
    nano_cpus: int = field(name="NanoCpus", default=0)
    oom_kill_disable: bool | None = field(name="OomKillDisable", default=None)
    init: bool | None = field(name="Init", default=None)
    pids_limit: int | None = field(name="PidsLimit", default=None)
    ulimits: list[HostConfigUlimits] = field(name="Ulimits", default_factory=list)
    cpu_count: int = field(name="CpuCount", default=0)
    cpu_percent: int = field(name="CpuPercent", default=0)
    io_maximum_iops: int = field(name="IOMaximumIOps", default=0)
    io_maximum_bandwidth: int = field(name="IOMaximumBandwidth", default=0)
    binds: list[str] = field(name="Binds", default_factory=list)
    container_id_file: str = field(name="ContainerIDFile", default="")
    log_config: HostConfigLogConfig = field(name="LogConfig", default_factory=HostConfigLogConfig)
    network_mode: str = field(name="NetworkMode", default="")
    port_bindings: dict[str, list[PortBinding] | None] = field(name="PortBindings", default_factory=dict)
    restart_policy: RestartPolicy = field(name="RestartPolicy", default_factory=RestartPolicy)
    auto_remove: bool = field(name="AutoRemove", default=False)
    volume_driver: str = field(name="VolumeDriver", default="")
    volumes_from: list[str] = field(name="VolumesFrom", default_factory=list)
    mounts: list[Mount] = field(name="Mounts", default_factory=list)
    console_size: list[int] | None = field(name="ConsoleSize", default=None)
    annotations: dict[str, str] = field(name="Annotations", default_factory=dict)
    cap_add: list[str] = field(name="CapAdd", default_factory=list)
    cap_drop: list[str] = field(name="CapDrop", default_factory=list)
    cgroupns_mode: str = field(name="CgroupnsMode", default="")
    dns: list[str] = field(name="Dns", default_factory=list)
    dns_options: list[str] = field(name="DnsOptions", default_factory=list)
    dns_search: list[str] = field(name="DnsSearch", default_factory=list)
    extra_hosts: list[str] = field(name="ExtraHosts", default_factory=list)
    group_add: list[str] = field(name="GroupAdd", default_factory=list)
    ipc_mode: str = field(name="IpcMode", default="")
    cgroup: str = field(name="Cgroup", default="")
    links: list[str] = field(name="Links", default_factory=list)
    oom_score_adj: int = field(name="OomScoreAdj", default=0)
    pid_mode: str = field(name="PidMode", default="")
    privileged: bool = field(name="Privileged", default=False)
    publish_all_ports: bool = field(name="PublishAllPorts", default=False)
    readonly_rootfs: bool = field(name="ReadonlyRootfs", default=False)
    security_opt: list[str] = field(name="SecurityOpt", default_factory=list)
    storage_opt: dict[str, str] = field(name="StorageOpt", default_factory=dict)
    tmpfs: dict[str, str] = field(name="Tmpfs", default_factory=dict)
    uts_mode: str = field(name="UTSMode", default="")
    userns_mode: str = field(name="UsernsMode", default="")
    shm_size: int = field(name="ShmSize", default=0)
    sysctls: dict[str, str] | None = field(name="Sysctls", default=None)
    runtime: str | None = field(name="Runtime", default=None)
    isolation: str = field(name="Isolation", default="")
    masked_paths: list[str] | None = field(name="MaskedPaths", default=None)  # None: the default ones
    readonly_paths: list[str] | None = field(name="ReadonlyPaths", default=None)
    secrets: list[SecretReference] = field(name="Secrets", default_factory=list)  # these two are ours alone
    configs: list[ConfigReference] = field(name="Configs", default_factory=list)
    security_learn: bool = field(name="SecurityLearn", default=False)  # ours alone


class ContainerConfig(Wire, frozen=True, kw_only=True):
    OMIT = (
        "exposed_ports",
        "healthcheck",
        "args_escaped",
        "network_disabled",
        "mac_address",
        "stop_signal",
        "stop_timeout",
        "shell",
    )
    NULL = ("volumes",)
    STRSLICE = ("cmd", "entrypoint", "shell")

    hostname: str = field(name="Hostname", default="")
    domainname: str = field(name="Domainname", default="")
    user: str = field(name="User", default="")
    attach_stdin: bool = field(name="AttachStdin", default=False)
    attach_stdout: bool = field(name="AttachStdout", default=False)
    attach_stderr: bool = field(name="AttachStderr", default=False)
    exposed_ports: dict[str, dict[str, object]] | None = field(name="ExposedPorts", default=None)
    tty: bool = field(name="Tty", default=False)
    open_stdin: bool = field(name="OpenStdin", default=False)
    stdin_once: bool = field(name="StdinOnce", default=False)
    env: list[str] = field(name="Env", default_factory=list)
    cmd: list[str] | None = field(name="Cmd", default=None)
    healthcheck: HealthConfig | None = field(name="Healthcheck", default=None)
    args_escaped: bool | None = field(name="ArgsEscaped", default=None)
    image: str = field(name="Image", default="")
    volumes: dict[str, dict[str, object]] = field(name="Volumes", default_factory=dict)
    working_dir: str = field(name="WorkingDir", default="")
    entrypoint: list[str] | None = field(name="Entrypoint", default=None)
    network_disabled: bool | None = field(name="NetworkDisabled", default=None)
    mac_address: str = field(name="MacAddress", default="")
    on_build: list[str] | None = field(name="OnBuild", default=None)
    labels: dict[str, str] = field(name="Labels", default_factory=dict)
    stop_signal: str | None = field(name="StopSignal", default=None)
    stop_timeout: int | None = field(name="StopTimeout", default=None)
    shell: list[str] | None = field(name="Shell", default=None)


class HealthcheckResult(Wire, frozen=True, kw_only=True):
    start: str = field(name="Start", default="")
    end: str = field(name="End", default="")
    exit_code: int = field(name="ExitCode", default=0)
    output: str = field(name="Output", default="")


class Health(Wire, frozen=True, kw_only=True):
    status: str = field(name="Status", default="")
    failing_streak: int = field(name="FailingStreak", default=0)
    log: list[HealthcheckResult] = field(name="Log", default_factory=list)


class ContainerState(Wire, frozen=True, kw_only=True):
    OMIT = ("health",)

    status: str = field(name="Status", default="")
    running: bool = field(name="Running", default=False)
    paused: bool = field(name="Paused", default=False)
    restarting: bool = field(name="Restarting", default=False)
    oom_killed: bool = field(name="OOMKilled", default=False)
    dead: bool = field(name="Dead", default=False)
    pid: int = field(name="Pid", default=0)
    exit_code: int = field(name="ExitCode", default=0)
    error: str = field(name="Error", default="")
    started_at: str = field(name="StartedAt", default=ZERO_TIME)
    finished_at: str = field(name="FinishedAt", default=ZERO_TIME)
    health: Health | None = field(name="Health", default=None)


class RootFSStorageSnapshot(Wire, frozen=True, kw_only=True):
    name: str = field(name="Name", default="")


class RootFSStorage(Wire, frozen=True, kw_only=True):
    snapshot: RootFSStorageSnapshot | None = field(name="Snapshot", default=None)


class Storage(Wire, frozen=True, kw_only=True):
    root_fs: RootFSStorage | None = field(name="RootFS", default=None)


class MountPoint(Wire, frozen=True, kw_only=True):
    OMIT = ("type", "name", "driver")

    type: str = field(name="Type", default="")
    name: str = field(name="Name", default="")
    source: str = field(name="Source", default="")
    destination: str = field(name="Destination", default="")
    driver: str = field(name="Driver", default="")
    mode: str = field(name="Mode", default="")
    rw: bool = field(name="RW", default=False)
    propagation: str = field(name="Propagation", default="")


class NetworkSettings(Wire, frozen=True, kw_only=True):
    bridge: str = field(name="Bridge", default="")
    sandbox_id: str = field(name="SandboxID", default="")
    sandbox_key: str = field(name="SandboxKey", default="")
    ports: dict[str, list[PortBinding] | None] = field(name="Ports", default_factory=dict)
    hairpin_mode: bool = field(name="HairpinMode", default=False)
    link_local_ipv6_address: str = field(name="LinkLocalIPv6Address", default="")
    link_local_ipv6_prefix_len: int = field(name="LinkLocalIPv6PrefixLen", default=0)
    secondary_ip_addresses: list[str] | None = field(name="SecondaryIPAddresses", default=None)
    secondary_ipv6_addresses: list[str] | None = field(name="SecondaryIPv6Addresses", default=None)
    endpoint_id: str = field(name="EndpointID", default="")
    gateway: str = field(name="Gateway", default="")
    global_ipv6_address: str = field(name="GlobalIPv6Address", default="")
    global_ipv6_prefix_len: int = field(name="GlobalIPv6PrefixLen", default=0)
    ip_address: str = field(name="IPAddress", default="")
    ip_prefix_len: int = field(name="IPPrefixLen", default=0)
    ipv6_gateway: str = field(name="IPv6Gateway", default="")
    mac_address: str = field(name="MacAddress", default="")
    networks: dict[str, EndpointSettings] = field(name="Networks", default_factory=dict)


class ContainerInspectResponse(Wire, frozen=True, kw_only=True):
    OMIT = ("size_rw", "size_root_fs", "image_manifest_descriptor", "storage")
    NULL = ("exec_ids",)

    id: str = field(name="Id", default="")
    created: str | None = field(name="Created", default=None)
    path: str = field(name="Path", default="")
    args: list[str] = field(name="Args", default_factory=list)
    state: ContainerState = field(name="State", default_factory=ContainerState)
    image: str = field(name="Image", default="")
    resolv_conf_path: str = field(name="ResolvConfPath", default="")
    hostname_path: str = field(name="HostnamePath", default="")
    hosts_path: str = field(name="HostsPath", default="")
    log_path: str | None = field(name="LogPath", default=None)
    name: str = field(name="Name", default="")
    restart_count: int = field(name="RestartCount", default=0)
    driver: str = field(name="Driver", default="")
    platform: str | None = field(name="Platform", default=None)
    image_manifest_descriptor: OCIDescriptor | None = field(name="ImageManifestDescriptor", default=None)
    mount_label: str = field(name="MountLabel", default="")
    process_label: str = field(name="ProcessLabel", default="")
    app_armor_profile: str = field(name="AppArmorProfile", default="")
    exec_ids: list[str] | None = field(name="ExecIDs", default=None)
    host_config: HostConfig | None = field(name="HostConfig", default=None)
    graph_driver: DriverData | None = field(name="GraphDriver", default=None)
    storage: Storage | None = field(name="Storage", default=None)
    size_rw: int | None = field(name="SizeRw", default=None)
    size_root_fs: int | None = field(name="SizeRootFs", default=None)
    mounts: list[MountPoint] = field(name="Mounts", default_factory=list)
    config: ContainerConfig | None = field(name="Config", default=None)
    network_settings: NetworkSettings = field(name="NetworkSettings", default_factory=NetworkSettings)


class PortSummary(Wire, frozen=True, kw_only=True):
    OMIT = ("ip", "public_port")

    ip: str = field(name="IP", default="")
    private_port: int = field(name="PrivatePort", default=0)
    public_port: int = field(name="PublicPort", default=0)
    type: str = field(name="Type", default="")


class ContainerSummaryHostConfig(Wire, frozen=True, kw_only=True):
    OMIT = ("annotations",)

    network_mode: str = field(name="NetworkMode", default="")
    annotations: dict[str, str] | None = field(name="Annotations", default=None)


class ContainerSummaryNetworkSettings(Wire, frozen=True, kw_only=True):
    networks: dict[str, EndpointSettings] = field(name="Networks", default_factory=dict)


class ContainerSummaryHealth(Wire, frozen=True, kw_only=True):
    status: str = field(name="Status", default="")
    failing_streak: int = field(name="FailingStreak", default=0)


class ContainerSummary(Wire, frozen=True, kw_only=True):
    OMIT = ("size_rw", "size_root_fs", "health", "image_manifest_descriptor")

    id: str = field(name="Id", default="")
    names: list[str] = field(name="Names", default_factory=list)
    image: str = field(name="Image", default="")
    image_id: str = field(name="ImageID", default="")
    image_manifest_descriptor: OCIDescriptor | None = field(name="ImageManifestDescriptor", default=None)
    command: str = field(name="Command", default="")
    created: int = field(name="Created", default=0)
    ports: list[PortSummary] = field(name="Ports", default_factory=list)
    size_rw: int | None = field(name="SizeRw", default=None)
    size_root_fs: int | None = field(name="SizeRootFs", default=None)
    labels: dict[str, str] = field(name="Labels", default_factory=dict)
    state: str = field(name="State", default="")
    status: str = field(name="Status", default="")
    host_config: ContainerSummaryHostConfig | None = field(name="HostConfig", default=None)
    network_settings: ContainerSummaryNetworkSettings = field(
        name="NetworkSettings", default_factory=ContainerSummaryNetworkSettings
    )
    mounts: list[MountPoint] = field(name="Mounts", default_factory=list)
    health: ContainerSummaryHealth | None = field(name="Health", default=None)


class ContainerCreateResponse(Wire, frozen=True, kw_only=True):
    id: str = field(name="Id", default="")
    warnings: list[str] = field(name="Warnings", default_factory=list)


class ContainerUpdateRequest(HostConfig, frozen=True, kw_only=True):
    """Body of POST /containers/{id}/update: resources and the restart policy; 0 and empty mean "as it is"."""

    # Ours, beyond Docker's API: ports to publish, and "80/tcp" or "8080:80/tcp" to withdraw.
    publish_add: dict[str, list[PortBinding] | None] = field(name="PublishAdd", default_factory=dict)
    publish_rm: list[str] = field(name="PublishRm", default_factory=list)
    # And limits of bandwidth, "10mbit", "0" for none, of one network of the container or of all.
    bandwidth_in: str | None = field(name="BandwidthIn", default=None)
    bandwidth_out: str | None = field(name="BandwidthOut", default=None)
    bandwidth_network: str = field(name="BandwidthNetwork", default="")


class ContainerUpdateResponse(Wire, frozen=True, kw_only=True):
    NULL = ("warnings",)

    warnings: list[str] = field(name="Warnings", default_factory=list)


class ContainerCPUUsage(Wire, frozen=True, kw_only=True):
    OMIT = ("percpu_usage",)

    total_usage: int = field(name="total_usage", default=0)
    percpu_usage: list[int] | None = field(name="percpu_usage", default=None)
    usage_in_kernelmode: int = field(name="usage_in_kernelmode", default=0)
    usage_in_usermode: int = field(name="usage_in_usermode", default=0)


class ContainerThrottlingData(Wire, frozen=True, kw_only=True):
    periods: int = field(name="periods", default=0)
    throttled_periods: int = field(name="throttled_periods", default=0)
    throttled_time: int = field(name="throttled_time", default=0)


class ContainerCPUStats(Wire, frozen=True, kw_only=True):
    OMIT = ("system_cpu_usage", "online_cpus")

    cpu_usage: ContainerCPUUsage = field(name="cpu_usage", default_factory=ContainerCPUUsage)
    system_cpu_usage: int | None = field(name="system_cpu_usage", default=None)
    online_cpus: int | None = field(name="online_cpus", default=None)
    throttling_data: ContainerThrottlingData = field(
        name="throttling_data", default_factory=ContainerThrottlingData
    )


class ContainerMemoryStats(Wire, frozen=True, kw_only=True):
    OMIT = (
        "usage",
        "max_usage",
        "stats",
        "failcnt",
        "limit",
        "commitbytes",
        "commitpeakbytes",
        "privateworkingset",
    )

    usage: int | None = field(name="usage", default=None)
    max_usage: int | None = field(name="max_usage", default=None)
    stats: dict[str, int] = field(name="stats", default_factory=dict)
    failcnt: int | None = field(name="failcnt", default=None)
    limit: int | None = field(name="limit", default=None)
    commitbytes: int | None = field(name="commitbytes", default=None)
    commitpeakbytes: int | None = field(name="commitpeakbytes", default=None)
    privateworkingset: int | None = field(name="privateworkingset", default=None)


class ContainerPidsStats(Wire, frozen=True, kw_only=True):
    OMIT = ("current", "limit")

    current: int | None = field(name="current", default=None)
    limit: int | None = field(name="limit", default=None)


class ContainerBlkioStatEntry(Wire, frozen=True, kw_only=True):
    major: int = field(name="major", default=0)
    minor: int = field(name="minor", default=0)
    op: str = field(name="op", default="")
    value: int = field(name="value", default=0)


class ContainerBlkioStats(Wire, frozen=True, kw_only=True):
    NULL = ("io_service_bytes_recursive",)

    io_service_bytes_recursive: list[ContainerBlkioStatEntry] = field(
        name="io_service_bytes_recursive", default_factory=list
    )
    io_serviced_recursive: list[ContainerBlkioStatEntry] | None = field(
        name="io_serviced_recursive", default=None
    )
    io_queue_recursive: list[ContainerBlkioStatEntry] | None = field(name="io_queue_recursive", default=None)
    io_service_time_recursive: list[ContainerBlkioStatEntry] | None = field(
        name="io_service_time_recursive", default=None
    )
    io_wait_time_recursive: list[ContainerBlkioStatEntry] | None = field(
        name="io_wait_time_recursive", default=None
    )
    io_merged_recursive: list[ContainerBlkioStatEntry] | None = field(
        name="io_merged_recursive", default=None
    )
    io_time_recursive: list[ContainerBlkioStatEntry] | None = field(name="io_time_recursive", default=None)
    sectors_recursive: list[ContainerBlkioStatEntry] | None = field(name="sectors_recursive", default=None)


class ContainerStorageStats(Wire, frozen=True, kw_only=True):
    OMIT = ("read_count_normalized", "read_size_bytes", "write_count_normalized", "write_size_bytes")

    read_count_normalized: int | None = field(name="read_count_normalized", default=None)
    read_size_bytes: int | None = field(name="read_size_bytes", default=None)
    write_count_normalized: int | None = field(name="write_count_normalized", default=None)
    write_size_bytes: int | None = field(name="write_size_bytes", default=None)


class ContainerNetworkStats(Wire, frozen=True, kw_only=True):
    rx_bytes: int = field(name="rx_bytes", default=0)
    rx_packets: int = field(name="rx_packets", default=0)
    rx_errors: int = field(name="rx_errors", default=0)
    rx_dropped: int = field(name="rx_dropped", default=0)
    tx_bytes: int = field(name="tx_bytes", default=0)
    tx_packets: int = field(name="tx_packets", default=0)
    tx_errors: int = field(name="tx_errors", default=0)
    tx_dropped: int = field(name="tx_dropped", default=0)


class ContainerStatsResponse(Wire, frozen=True, kw_only=True):
    OMIT = ("networks", "os_type")

    id: str | None = field(name="id", default=None)
    name: str | None = field(name="name", default=None)
    os_type: str | None = field(name="os_type", default=None)
    read: str = field(name="read", default="")
    cpu_stats: ContainerCPUStats = field(name="cpu_stats", default_factory=ContainerCPUStats)
    memory_stats: ContainerMemoryStats = field(name="memory_stats", default_factory=ContainerMemoryStats)
    networks: dict[str, ContainerNetworkStats] | None = field(name="networks", default=None)
    pids_stats: ContainerPidsStats = field(name="pids_stats", default_factory=ContainerPidsStats)
    blkio_stats: ContainerBlkioStats = field(name="blkio_stats", default_factory=ContainerBlkioStats)
    num_procs: int = field(name="num_procs", default=0)
    storage_stats: ContainerStorageStats = field(name="storage_stats", default_factory=ContainerStorageStats)
    preread: str = field(name="preread", default="")
    precpu_stats: ContainerCPUStats = field(name="precpu_stats", default_factory=ContainerCPUStats)


class ContainerTopResponse(Wire, frozen=True, kw_only=True):
    titles: list[str] = field(name="Titles", default_factory=list)
    processes: list[list[str]] = field(name="Processes", default_factory=list)


class ContainerWaitExitError(Wire, frozen=True, kw_only=True):
    message: str = field(name="Message", default="")


class ContainerWaitResponse(Wire, frozen=True, kw_only=True):
    OMIT = ("error",)

    status_code: int = field(name="StatusCode", default=0)
    error: ContainerWaitExitError | None = field(name="Error", default=None)


class FilesystemChange(Wire, frozen=True, kw_only=True):
    path: str = field(name="Path", default="")
    kind: int = field(name="Kind", default=0)


class ProcessConfig(Wire, frozen=True, kw_only=True):
    privileged: bool = field(name="privileged", default=False)
    user: str = field(name="user", default="")
    tty: bool = field(name="tty", default=False)
    entrypoint: str = field(name="entrypoint", default="")
    arguments: list[str] = field(name="arguments", default_factory=list)


class IDResponse(Wire, frozen=True, kw_only=True):
    id: str = field(name="Id", default="")


class ContainerCreateRequest(ContainerConfig, frozen=True, kw_only=True):
    """Body of POST /containers/create: the configuration with the host's part beside it."""

    host_config: HostConfig = field(name="HostConfig", default_factory=HostConfig)
    networking_config: NetworkingConfig = field(name="NetworkingConfig", default_factory=NetworkingConfig)


class ExecCreateRequest(Wire, frozen=True, kw_only=True):
    """Body of POST /containers/{id}/exec."""

    STRSLICE = ("cmd",)

    attach_stdin: bool = field(name="AttachStdin", default=False)
    attach_stdout: bool = field(name="AttachStdout", default=False)
    attach_stderr: bool = field(name="AttachStderr", default=False)
    console_size: list[int] | None = field(name="ConsoleSize", default=None)
    detach_keys: str = field(name="DetachKeys", default="")
    tty: bool = field(name="Tty", default=False)
    env: list[str] = field(name="Env", default_factory=list)
    cmd: list[str] = field(name="Cmd", default_factory=list)
    privileged: bool = field(name="Privileged", default=False)
    user: str = field(name="User", default="")
    working_dir: str = field(name="WorkingDir", default="")


class ExecStartRequest(Wire, frozen=True, kw_only=True):
    """Body of POST /exec/{id}/start."""

    detach: bool = field(name="Detach", default=False)
    tty: bool = field(name="Tty", default=False)
    console_size: list[int] | None = field(name="ConsoleSize", default=None)


class ExecInspectResponse(Wire, frozen=True, kw_only=True):
    """Answer of GET /exec/{id}/json."""

    can_remove: bool = field(name="CanRemove", default=False)
    detach_keys: str = field(name="DetachKeys", default="")
    id: str = field(name="ID", default="")
    running: bool = field(name="Running", default=False)
    exit_code: int | None = field(name="ExitCode", default=None)
    process_config: ProcessConfig = field(name="ProcessConfig", default_factory=ProcessConfig)
    open_stdin: bool = field(name="OpenStdin", default=False)
    open_stderr: bool = field(name="OpenStderr", default=False)
    open_stdout: bool = field(name="OpenStdout", default=False)
    container_id: str = field(name="ContainerID", default="")
    pid: int = field(name="Pid", default=0)


class ContainersPruneResponse(Wire, frozen=True, kw_only=True):
    """Answer of POST /containers/prune."""

    NULL = ("containers_deleted",)
    OMIT = ("dry_run",)

    containers_deleted: list[str] = field(name="ContainersDeleted", default_factory=list)
    space_reclaimed: int = field(name="SpaceReclaimed", default=0)
    dry_run: bool = field(name="DryRun", default=False)  # Onggi's own: nothing was removed
