"""Volumes of the Engine API, as JSON (engine-api 1.55)."""

from __future__ import annotations

from msgspec import field

from onggi.wire.base import Wire


class VolumeUsageData(Wire, frozen=True, kw_only=True):
    size: int = field(name="Size", default=0)
    ref_count: int = field(name="RefCount", default=0)


class Volume(Wire, frozen=True, kw_only=True):
    OMIT = ("created_at", "status", "cluster_volume", "usage_data")
    NULL = ("labels", "options")

    # in the order of moby's struct, which is what clients print
    cluster_volume: dict[str, object] | None = field(name="ClusterVolume", default=None)
    created_at: str = field(name="CreatedAt", default="")
    driver: str = field(name="Driver", default="")
    labels: dict[str, str] = field(name="Labels", default_factory=dict)
    mountpoint: str = field(name="Mountpoint", default="")
    name: str = field(name="Name", default="")
    options: dict[str, str] = field(name="Options", default_factory=dict)
    scope: str = field(name="Scope", default="local")
    status: dict[str, dict[str, object]] = field(name="Status", default_factory=dict)
    usage_data: VolumeUsageData | None = field(name="UsageData", default=None)


class AccessModeSecrets(Wire, frozen=True, kw_only=True):
    key: str = field(name="Key", default="")
    secret: str = field(name="Secret", default="")


class Topology(Wire, frozen=True, kw_only=True):
    segments: dict[str, str] = field(name="Segments", default_factory=dict)


class AccessModeAccessibilityRequirements(Wire, frozen=True, kw_only=True):
    requisite: list[Topology] = field(name="Requisite", default_factory=list)
    preferred: list[Topology] = field(name="Preferred", default_factory=list)


class AccessModeCapacityRange(Wire, frozen=True, kw_only=True):
    required_bytes: int = field(name="RequiredBytes", default=0)
    limit_bytes: int = field(name="LimitBytes", default=0)


class ClusterVolumeSpecAccessMode(Wire, frozen=True, kw_only=True):
    scope: str = field(name="Scope", default="")
    sharing: str = field(name="Sharing", default="")
    mount_volume: dict[str, object] = field(name="MountVolume", default_factory=dict)
    secrets: list[AccessModeSecrets] = field(name="Secrets", default_factory=list)
    accessibility_requirements: AccessModeAccessibilityRequirements = field(
        name="AccessibilityRequirements", default_factory=AccessModeAccessibilityRequirements
    )
    capacity_range: AccessModeCapacityRange = field(
        name="CapacityRange", default_factory=AccessModeCapacityRange
    )
    availability: str = field(name="Availability", default="")


class ClusterVolumeSpec(Wire, frozen=True, kw_only=True):
    group: str = field(name="Group", default="")
    access_mode: ClusterVolumeSpecAccessMode = field(
        name="AccessMode", default_factory=ClusterVolumeSpecAccessMode
    )


class VolumeCreateRequest(Wire, frozen=True, kw_only=True):
    name: str = field(name="Name", default="")
    driver: str = field(name="Driver", default="")
    driver_opts: dict[str, str] = field(name="DriverOpts", default_factory=dict)
    labels: dict[str, str] = field(name="Labels", default_factory=dict)
    cluster_volume_spec: ClusterVolumeSpec | None = field(name="ClusterVolumeSpec", default=None)


class VolumeListResponse(Wire, frozen=True, kw_only=True):
    NULL = ("warnings",)

    volumes: list[Volume] = field(name="Volumes", default_factory=list)
    warnings: list[str] = field(name="Warnings", default_factory=list)


class VolumesPruneResponse(Wire, frozen=True, kw_only=True):
    """Answer of POST /volumes/prune."""

    OMIT = ("dry_run",)

    volumes_deleted: list[str] = field(name="VolumesDeleted", default_factory=list)
    space_reclaimed: int = field(name="SpaceReclaimed", default=0)
    dry_run: bool = field(name="DryRun", default=False)  # Onggi's own: nothing was removed
