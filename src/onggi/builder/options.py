"""What a client asks of a build: the same values from `POST /build`, from a client of BuildKit's, and
from LLB's attributes.
"""

from __future__ import annotations

import msgspec

from onggi.builder.graph import CdiDevice, Graph, Ref
from onggi.spec.image import Image
from onggi.spec.platform import Platform, host


class NamedContext(msgspec.Struct, frozen=True, kw_only=True):
    """A tree that a build may name: `--build-context name=value`.

    `value` is docker-image://, oci-layout://NAME@digest, local:NAME, or a git or http address; or
    nothing, and `input` is a tree of `graph` that is known already (bake's linked targets, a downloaded
    context), with the image it belongs to. `excludes`: the .dockerignore that a local one brought along.
    """

    value: str = ""
    input: Ref | None = None
    graph: Graph | None = None
    image: Image | None = None
    excludes: tuple[str, ...] = ()


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Options of one build of one Dockerfile. All as the client wrote them; nothing here comes from the
    Dockerfile.
    """

    filename: str = "Dockerfile"
    target: str = ""  # a stage's name or number; "": the last
    build_args: dict[str, str] = {}
    labels: dict[str, str] = {}
    platforms: tuple[Platform, ...] = ()  # (): the worker's own
    build_platform: Platform = host()
    multi_platform: bool = False  # an index even for one platform
    context: NamedContext | None = None  # None: the client's directory `context_name`
    context_name: str = "context"  # names of the client's directories
    dockerfile_name: str = "dockerfile"
    contexts: dict[str, NamedContext] = {}
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()  # stages that are not taken from the cache
    resolve: str = "default"  # --pull: "pull"; see ImageSource.resolve
    network: str = "default"  # of RUN without --network: default | host | none
    extra_hosts: tuple[tuple[str, str], ...] = ()
    ulimits: tuple[tuple[str, int, int], ...] = ()
    shm_bytes: int = 0
    cgroup_parent: str = ""
    hostname: str = ""
    cache_namespace: str = ""  # before the ids of cache mounts (BUILDKIT_CACHE_MOUNT_NS)
    devices: tuple[CdiDevice, ...] = ()  # of every RUN
    shared_key: str = ""  # which earlier transfer of the context this one is like
    excludes: tuple[str, ...] = ()  # .dockerignore, already read; applied to the build context
    check_only: bool = False  # `build --check`: warnings, nothing is run
