"""Images of the Engine API, as JSON (engine-api 1.55)."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType, field

from onggi.wire.base import ZERO_TIME, Wire


class DriverData(Wire, frozen=True, kw_only=True):
    NULL = ("data",)

    name: str = field(name="Name", default="")
    data: dict[str, str] = field(name="Data", default_factory=dict)


class OCIPlatform(Wire, frozen=True, kw_only=True):
    OMIT = ("os_version", "os_features", "variant")

    architecture: str = field(name="architecture", default="")
    os: str = field(name="os", default="")
    os_version: str = field(name="os.version", default="")
    os_features: list[str] = field(name="os.features", default_factory=list)
    variant: str = field(name="variant", default="")


class OCIDescriptor(Wire, frozen=True, kw_only=True):
    OMIT = ("urls", "annotations", "data", "platform", "artifact_type")

    media_type: str = field(name="mediaType", default="")
    digest: str = field(name="digest", default="")
    size: int = field(name="size", default=0)
    urls: list[str] | None = field(name="urls", default=None)
    annotations: dict[str, str] | None = field(name="annotations", default=None)
    data: str | None = field(name="data", default=None)
    platform: OCIPlatform | None = field(name="platform", default=None)
    artifact_type: str | None = field(name="artifactType", default=None)


class DistributionInspect(Wire, frozen=True, kw_only=True):
    descriptor: OCIDescriptor = field(name="Descriptor", default_factory=OCIDescriptor)
    platforms: list[OCIPlatform] = field(name="Platforms", default_factory=list)


class SearchResult(Wire, frozen=True, kw_only=True):
    """One line of GET /images/search, and of a registry's /v1/search."""

    star_count: int = field(name="star_count", default=0)
    is_official: bool = field(name="is_official", default=False)
    name: str = field(name="name", default="")
    is_automated: bool = field(name="is_automated", default=False)
    description: str = field(name="description", default="")


class HealthConfig(Wire, frozen=True, kw_only=True):
    OMIT = ("test", "interval", "timeout", "retries", "start_period", "start_interval")

    test: list[str] = field(name="Test", default_factory=list)
    interval: int = field(name="Interval", default=0)
    timeout: int = field(name="Timeout", default=0)
    retries: int = field(name="Retries", default=0)
    start_period: int = field(name="StartPeriod", default=0)
    start_interval: int = field(name="StartInterval", default=0)


class ImageConfig(Wire, frozen=True, kw_only=True):
    OMIT = (
        "user",
        "exposed_ports",
        "env",
        "cmd",
        "healthcheck",
        "args_escaped",
        "volumes",
        "working_dir",
        "entrypoint",
        "on_build",
        "labels",
        "stop_signal",
        "shell",
    )
    STRSLICE = ("cmd", "entrypoint", "shell")

    user: str = field(name="User", default="")
    exposed_ports: dict[str, dict[str, object]] | None = field(name="ExposedPorts", default=None)
    env: list[str] = field(name="Env", default_factory=list)
    cmd: list[str] | None = field(name="Cmd", default=None)
    healthcheck: HealthConfig | None = field(name="Healthcheck", default=None)
    args_escaped: bool | None = field(name="ArgsEscaped", default=None)
    volumes: dict[str, dict[str, object]] = field(name="Volumes", default_factory=dict)
    working_dir: str = field(name="WorkingDir", default="")
    entrypoint: list[str] | None = field(name="Entrypoint", default=None)
    on_build: list[str] | None = field(name="OnBuild", default=None)
    labels: dict[str, str] = field(name="Labels", default_factory=dict)
    stop_signal: str | None = field(name="StopSignal", default=None)
    shell: list[str] | None = field(name="Shell", default=None)


class CommitResponse(Wire, frozen=True, kw_only=True):
    id: str = field(name="Id", default="")


class ImageHistoryResponseItem(Wire, frozen=True, kw_only=True):
    NULL = ("tags",)

    id: str = field(name="Id", default="")
    created: int = field(name="Created", default=0)
    created_by: str = field(name="CreatedBy", default="")
    tags: list[str] = field(name="Tags", default_factory=list)
    size: int = field(name="Size", default=0)
    comment: str = field(name="Comment", default="")


class ManifestsSize(Wire, frozen=True, kw_only=True):
    total: int = field(name="Total", default=0)
    content: int = field(name="Content", default=0)


class ImageDataSize(Wire, frozen=True, kw_only=True):
    unpacked: int = field(name="Unpacked", default=0)


class ManifestsImageData(Wire, frozen=True, kw_only=True):
    platform: OCIPlatform | None = field(name="Platform", default=None)
    identity: dict[str, object] | None = field(name="Identity", default=None)
    containers: list[str] = field(name="Containers", default_factory=list)
    size: ImageDataSize = field(name="Size", default_factory=ImageDataSize)


class ManifestsAttestationData(Wire, frozen=True, kw_only=True):
    for_: str = field(name="For", default="")


class ImageManifestSummary(Wire, frozen=True, kw_only=True):
    id: str = field(name="ID", default="")
    descriptor: OCIDescriptor = field(name="Descriptor", default_factory=OCIDescriptor)
    available: bool = field(name="Available", default=False)
    size: ManifestsSize = field(name="Size", default_factory=ManifestsSize)
    kind: str = field(name="Kind", default="")
    image_data: ManifestsImageData | None = field(name="ImageData", default=None)
    attestation_data: ManifestsAttestationData | None = field(name="AttestationData", default=None)


class AttestationStatement(Wire, frozen=True, kw_only=True):
    """One of the answer of GET /images/NAME/attestations."""

    OMIT = ("statement",)

    descriptor: OCIDescriptor = field(name="Descriptor", default_factory=OCIDescriptor)
    predicate_type: str = field(name="PredicateType", default="")
    statement: msgspec.Raw | UnsetType = field(name="Statement", default=UNSET)


class ImageInspectRootFS(Wire, frozen=True, kw_only=True):
    OMIT = ("layers",)

    type: str = field(name="Type", default="")
    layers: list[str] = field(name="Layers", default_factory=list)


class ImageInspectMetadata(Wire, frozen=True, kw_only=True):
    last_tag_time: str = field(name="LastTagTime", default=ZERO_TIME)


class ImageInspect(Wire, frozen=True, kw_only=True):
    OMIT = ("descriptor", "manifests", "identity", "variant", "os_version")

    id: str = field(name="Id", default="")
    descriptor: OCIDescriptor | UnsetType = field(name="Descriptor", default=UNSET)
    manifests: list[ImageManifestSummary] | UnsetType = field(name="Manifests", default=UNSET)
    identity: dict[str, object] | None = field(name="Identity", default=None)
    repo_tags: list[str] = field(name="RepoTags", default_factory=list)
    repo_digests: list[str] = field(name="RepoDigests", default_factory=list)
    parent: str = field(name="Parent", default="")
    comment: str = field(name="Comment", default="")
    created: str | None = field(name="Created", default=None)
    docker_version: str = field(name="DockerVersion", default="")
    author: str = field(name="Author", default="")
    config: ImageConfig | None = field(name="Config", default=None)
    architecture: str = field(name="Architecture", default="")
    variant: str | UnsetType = field(name="Variant", default=UNSET)
    os: str = field(name="Os", default="")
    os_version: str | UnsetType = field(name="OsVersion", default=UNSET)
    size: int = field(name="Size", default=0)
    graph_driver: DriverData | None = field(name="GraphDriver", default=None)
    root_fs: ImageInspectRootFS = field(name="RootFS", default_factory=ImageInspectRootFS)
    metadata: ImageInspectMetadata = field(name="Metadata", default_factory=ImageInspectMetadata)


class ImageSummary(Wire, frozen=True, kw_only=True):
    OMIT = ("manifests", "descriptor")
    NULL = ("labels",)

    id: str = field(name="Id", default="")
    parent_id: str = field(name="ParentId", default="")
    repo_tags: list[str] = field(name="RepoTags", default_factory=list)
    repo_digests: list[str] = field(name="RepoDigests", default_factory=list)
    created: int = field(name="Created", default=0)
    size: int = field(name="Size", default=0)
    shared_size: int = field(name="SharedSize", default=0)
    labels: dict[str, str] = field(name="Labels", default_factory=dict)
    containers: int = field(name="Containers", default=0)
    manifests: list[ImageManifestSummary] | UnsetType = field(name="Manifests", default=UNSET)
    descriptor: OCIDescriptor | UnsetType = field(name="Descriptor", default=UNSET)


class ImageDeleteResponseItem(Wire, frozen=True, kw_only=True, omit_defaults=True):
    OMIT = ("untagged", "deleted")

    untagged: str = field(name="Untagged", default="")
    deleted: str = field(name="Deleted", default="")


class ImagesPruneResponse(Wire, frozen=True, kw_only=True):
    """Answer of POST /images/prune."""

    NULL = ("images_deleted",)

    images_deleted: list[ImageDeleteResponseItem] = field(name="ImagesDeleted", default_factory=list)
    space_reclaimed: int = field(name="SpaceReclaimed", default=0)


class ImageDifference(Wire, frozen=True, kw_only=True):
    """Ours alone: a file that differs between two images.

    `kind` as in a container's changes: 0 changed, 1 added, 2 deleted; sizes are -1 for what is no plain file.
    """

    path: str = field(name="Path", default="")
    kind: int = field(name="Kind", default=0)
    facts: list[str] = field(name="Facts", default_factory=list)
    old_size: int = field(name="OldSize", default=-1)
    new_size: int = field(name="NewSize", default=-1)


class ImageMount(Wire, frozen=True, kw_only=True):
    """Ours alone: an image that is mounted for the host's programs."""

    id: str = field(name="Id", default="")
    path: str = field(name="Path", default="")
    repo_tags: list[str] = field(name="RepoTags", default_factory=list)
    uses: int = field(name="Uses", default=0)


class ImagePrunePlan(Wire, frozen=True, kw_only=True):
    """Ours alone: an image that a prune would remove; `reclaimed` counts what goes with it."""

    id: str = field(name="Id", default="")
    repo_tags: list[str] = field(name="RepoTags", default_factory=list)
    created: int = field(name="Created", default=0)
    last_used: int = field(name="LastUsed", default=0)
    size: int = field(name="Size", default=0)
    reclaimed: int = field(name="Reclaimed", default=0)


class ImagePruneResponse(Wire, frozen=True, kw_only=True):
    """`plan` is there after a dry run alone."""

    OMIT = ("plan",)

    images_deleted: list[ImageDeleteResponseItem] | None = field(name="ImagesDeleted", default=None)
    space_reclaimed: int = field(name="SpaceReclaimed", default=0)
    plan: list[ImagePrunePlan] | None = field(name="Plan", default=None)
