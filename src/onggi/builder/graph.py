"""The build graph: content-addressed vertices, what the planner makes and the solver runs.

    Vertex(op, inputs) --digest--> its place in Graph.vertices
       |          \\
       |           inputs: Ref(vertex digest, output number) ...
       op: a source (image, context, git, http, layout) | Exec | FileOp | Merge | Diff

A vertex has one or more outputs, each a file system tree. Its `digest` covers what it does and on what:
op, inputs and platform, never its Meta; equal steps of different stages, Dockerfiles and clients are one
vertex. Secrets' values, the client's session and the text of a Dockerfile are in no digest. `None` in the
place of a Ref is the empty tree (FROM scratch).

The ops follow BuildKit's LLB (solver/pb/ops.proto, named there as SourceOp, ExecOp, FileOp, MergeOp,
DiffOp), so that a client's LLB becomes a Graph without loss (builder/buildkit/llb.py).

A Plan is a graph with the image that it makes; several platforms are several plans.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

from onggi.builder.instructions import Location, Source
from onggi.spec.image import Image
from onggi.spec.platform import Platform

DIGEST_VERSION = 1  # changes when the meaning of an op does: old cache entries are no longer found


class Ref(msgspec.Struct, frozen=True, order=True):
    """One output of a vertex."""

    vertex: str  # sha256:...
    output: int = 0


# -- sources: no inputs, one output


class ImageSource(msgspec.Struct, frozen=True, kw_only=True, tag="image", omit_defaults=True):
    """An image's root file system. `reference` is canonical and holds the digest once it has been
    resolved.
    """

    reference: str
    resolve: str = "default"  # default: pull when missing | pull: ask the registry | local: never pull
    layer_limit: int | None = None  # its first n layers only


class OciLayoutSource(msgspec.Struct, frozen=True, kw_only=True, tag="oci-layout", omit_defaults=True):
    """An image out of an OCI layout at the client (`--build-context name=oci-layout://`), by digest."""

    reference: str
    store: str = ""
    layer_limit: int | None = None


class LocalSource(msgspec.Struct, frozen=True, kw_only=True, tag="local", omit_defaults=True):
    """A directory of the client's: the build context and named ones. The solver asks the build's
    LocalDirs (a classic tar context or a session) for `name`.

    `excludes` are .dockerignore patterns in order, `follow` the paths whose links are resolved and which
    alone are sent ("": all); `includes` the same as patterns. `shared_key` says which transfers may share
    a diff base.
    """

    name: str
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    follow: tuple[str, ...] = ()
    shared_key: str = ""
    differ: str = "metadata"  # metadata | none: how a transfer finds what changed
    metadata_only: bool = False


class GitSource(msgspec.Struct, frozen=True, kw_only=True, tag="git", omit_defaults=True):
    """A checkout. `ref` is a branch, tag, full ref or commit; "" is the remote's HEAD."""

    remote: str
    ref: str = ""
    subdir: str = ""
    keep_git_dir: bool = False
    checksum: str = ""  # a commit's hash or the beginning of it; a mismatch fails the build
    submodules: bool = True
    mtime: str = ""  # "" checkout | commit
    fetch_by_commit: bool = False
    auth_token_secret: str = "GIT_AUTH_TOKEN"
    auth_header_secret: str = "GIT_AUTH_HEADER"
    known_hosts: str = ""
    ssh_id: str = ""


class HttpSource(msgspec.Struct, frozen=True, kw_only=True, tag="http", omit_defaults=True):
    """One downloaded file at the root of the tree."""

    url: str
    filename: str = ""  # "": from Content-Disposition or the URL
    checksum: str = ""  # sha256:...; a mismatch fails the build
    mode: int | None = None  # default 0600
    uid: int | None = None
    gid: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    auth_header_secret: str = ""


SourceOp: TypeAlias = ImageSource | OciLayoutSource | LocalSource | GitSource | HttpSource


# -- exec


class ExecMount(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """What is mounted at `target`. `input` counts Vertex.inputs (-1: nothing, an empty tree); `output` is
    the number under which the changed tree is offered afterwards (-1: it is thrown away). Exactly one
    mount has target "/".
    """

    target: str
    input: int = -1
    source: str = ""  # a path inside the input's tree
    output: int = -1
    read_only: bool = False


class Bind(ExecMount, frozen=True, kw_only=True, tag="bind"):
    """`content_cache`: whether the input's bytes, rather than how it was made, are in the cache key:
    default | on | off.
    """

    content_cache: str = "default"


class Cache(ExecMount, frozen=True, kw_only=True, tag="cache"):
    """A directory kept by `id`; what `input` has at `source` is what a new one begins with."""

    id: str
    sharing: str = "shared"  # shared | private | locked


class Tmpfs(ExecMount, frozen=True, kw_only=True, tag="tmpfs"):
    size_bytes: int = 0


class Secret(ExecMount, frozen=True, kw_only=True, tag="secret"):
    id: str
    uid: int = 0
    gid: int = 0
    mode: int = 0o400
    optional: bool = False


class Ssh(ExecMount, frozen=True, kw_only=True, tag="ssh"):
    id: str
    uid: int = 0
    gid: int = 0
    mode: int = 0o600
    optional: bool = False


AnyMount: TypeAlias = Bind | Cache | Tmpfs | Secret | Ssh


class SecretEnv(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    name: str
    optional: bool = False


class CdiDevice(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    optional: bool = False


class Exec(msgspec.Struct, frozen=True, kw_only=True, tag="exec", omit_defaults=True):
    """A process in a container. `args` is the whole argv (a shell is in it already), `env` `NAME=value`.

    `proxy` are the proxy variables of the build: set for the process, and left out of the digest.
    """

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: str = ""
    hostname: str = ""
    extra_hosts: tuple[tuple[str, str], ...] = ()  # (name, address)
    network: str = "sandbox"  # sandbox | host | none
    security: str = "sandbox"  # sandbox | insecure
    ulimits: tuple[tuple[str, int, int], ...] = ()  # name, soft, hard
    cgroup_parent: str = ""
    shm_bytes: int = 0  # 0: Docker's 64 MiB; the Dockerfile's planner sets it from --shm-size
    valid_exit_codes: tuple[int, ...] = (0,)
    mounts: tuple[AnyMount, ...] = ()
    secret_env: tuple[SecretEnv, ...] = ()
    devices: tuple[CdiDevice, ...] = ()
    proxy: tuple[tuple[str, str], ...] = ()


# -- files


class Owner(msgspec.Struct, frozen=True, omit_defaults=True):
    """Numbers, or names that are looked up in /etc/passwd and /etc/group of the tree of `input` (an
    action's input number, see Action; -1: the tree that is written to). A missing group is the user's
    own as passwd has it, for a numeric user the same number.
    """

    user: int | str = 0
    group: int | str | None = None
    input: int = -1


class Action(msgspec.Struct, frozen=True, kw_only=True, tag_field="action", omit_defaults=True):
    """One change to a tree. Inputs below len(Vertex.inputs) are those; above, the tree after action
    number (input - len(Vertex.inputs)); -1 is the empty tree. `output`: the number under which the
    tree after it is offered (-1: only to later actions). The last action of a planner's vertex has
    output 0. `timestamp`: the nanoseconds that every written file gets as its times; None keeps a
    copied file's.
    """

    input: int = 0
    output: int = -1
    timestamp: int | None = None


class CopyAction(Action, frozen=True, kw_only=True, tag="copy"):
    """Copy `source` of the tree `from_input` to `target`.

    `follow`: a link that `source` names is resolved (inside the tree). `contents_only`: of a directory,
    what is in it. `unpack`: an archive is unpacked instead (Docker's rule: recognised by its bytes, a
    failed one is copied). `wildcard`: `source` is a pattern (Go's filepath.Match); `allow_empty`: that
    may match nothing. `required`: paths that have to exist when includes are given. `mode`: an octal text
    or chmod(1)'s symbolic form. `replace`: what is in the way and of another type is replaced (--link);
    else that is an error.
    """

    from_input: int
    source: str
    target: str
    owner: Owner | None = None
    mode: str = ""
    follow: bool = True
    contents_only: bool = True
    unpack: bool = False
    make_parents: bool = True
    wildcard: bool = True
    allow_empty: bool = False
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    replace: bool = False


class MakeFile(Action, frozen=True, kw_only=True, tag="mkfile"):
    path: str
    data: bytes
    mode: int = 0o644
    owner: Owner | None = None


class MakeDirectory(Action, frozen=True, kw_only=True, tag="mkdir"):
    path: str
    mode: int = 0o755
    make_parents: bool = False
    owner: Owner | None = None


class Remove(Action, frozen=True, kw_only=True, tag="rm"):
    path: str
    allow_missing: bool = False
    wildcard: bool = False


class Symlink(Action, frozen=True, kw_only=True, tag="symlink"):
    target: str  # what the link says
    path: str
    owner: Owner | None = None


AnyAction: TypeAlias = CopyAction | MakeFile | MakeDirectory | Remove | Symlink


class FileOp(msgspec.Struct, frozen=True, tag="file"):
    """Actions in order, on trees of the inputs."""

    actions: tuple[AnyAction, ...]


class Merge(msgspec.Struct, frozen=True, tag="merge"):
    """The layers of every input, one on the other, in the order of Vertex.inputs: nothing is copied (COPY
    --link).
    """

    inputs: tuple[int, ...]


class Diff(msgspec.Struct, frozen=True, tag="diff"):
    """What `upper` has more than `lower`, as a tree of its own; -1 is the empty tree."""

    lower: int
    upper: int


Op: TypeAlias = SourceOp | Exec | FileOp | Merge | Diff


# -- vertices


class Meta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a vertex is called and where it came from; never part of its digest.

    `name` is what progress shows: `[build 2/5] RUN make`. `stage` and `number` of `total` are the same as
    data (a vertex of no stage, like a context, has none). `locations` point into Plan.sources.
    `ignore_cache`: run it, whatever the cache has (--no-cache). `export_cache` False: never written to an
    exported cache.
    """

    name: str = ""
    stage: str = ""
    number: int = 0
    total: int = 0
    locations: tuple[Location, ...] = ()
    ignore_cache: bool = False
    export_cache: bool = True
    group: str = ""  # progress group: id
    group_name: str = ""
    group_weak: bool = False
    description: tuple[tuple[str, str], ...] = ()


class Vertex(msgspec.Struct, frozen=True, kw_only=True):
    """An op on inputs. Make it with `vertex()`, which knows the digest."""

    digest: str
    op: Op
    inputs: tuple[Ref | None, ...] = ()
    platform: Platform
    meta: Meta = Meta()


def vertex(op: Op, inputs: Iterable[Ref | None], platform: Platform, meta: Meta | None = None) -> Vertex:
    """A vertex with its digest. Equal arguments but `meta` give equal digests, today and on another
    machine.
    """
    known = tuple(inputs)
    body = msgspec.structs.replace(op, proxy=()) if isinstance(op, Exec) else op
    definition = msgspec.json.encode((DIGEST_VERSION, body, known, platform))
    digest = "sha256:" + hashlib.sha256(definition).hexdigest()
    return Vertex(digest=digest, op=op, inputs=known, platform=platform, meta=meta or Meta())


class Graph:
    """Vertices by digest; an input is always there before the vertex that needs it, so the order is
    topological.
    """

    __slots__ = ("vertices",)

    def __init__(self, vertices: Iterable[Vertex] = ()) -> None:
        self.vertices: dict[str, Vertex] = {}
        for one in vertices:
            self.add(one)

    def add(self, new: Vertex, output: int = 0) -> Ref:
        """Keep a vertex, or the equal one that is there, and name an output of it. One that has to run
        (ignore_cache) makes the kept one run.
        """
        for ref in new.inputs:
            if ref is not None and ref.vertex not in self.vertices:
                raise KeyError(f"{new.meta.name or new.digest}: its input {ref.vertex} is not in the graph")
        kept = self.vertices.setdefault(new.digest, new)
        if new.meta.ignore_cache and not kept.meta.ignore_cache:
            self.vertices[new.digest] = new
        return Ref(new.digest, output)

    def __getitem__(self, ref: Ref) -> Vertex:
        return self.vertices[ref.vertex]

    def __iter__(self) -> Iterator[Vertex]:
        return iter(self.vertices.values())

    def __len__(self) -> int:
        return len(self.vertices)

    def needed(self, *results: Ref | None) -> list[Vertex]:
        """The vertices that these results depend on, inputs first; all others never run."""
        wanted = {ref.vertex for ref in results if ref is not None}
        for one in reversed(self.vertices.values()):
            if one.digest in wanted:
                wanted.update(ref.vertex for ref in one.inputs if ref is not None)
        return [one for one in self.vertices.values() if one.digest in wanted]


# -- a whole build


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One instruction of a stage that is built, in the order of the Dockerfile, FROM included.

    `result` is the tree after it and `image` the image as it would be if the Dockerfile ended here (what
    the classic builder shows as `Step 2/5 : ...` and `---> 0a1b2c3d4e5f`). `vertices`: what this
    instruction itself added; empty where it changes only the configuration.
    """

    stage: str
    number: int  # from 1, over all stages that are built
    total: int
    text: str
    location: Location
    result: Ref | None
    image: Image
    vertices: tuple[str, ...] = ()


class Warning_(msgspec.Struct, frozen=True, kw_only=True):
    """A build check that failed (docs.docker.com/reference/build-checks): rule, and where."""

    rule: str
    description: str
    url: str
    detail: str
    location: Location


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be built for one platform.

    `result` is the tree of the target stage, and `image` its configuration and history: `rootfs` is the
    base image's, the exporter adds a diff id for each layer and writes `created`. `base` is the base
    image's own document (None for scratch) and `base_reference` its canonical reference with digest: for
    attestations, cache and `FROM` history. `history` entries that have a layer are those without
    `empty_layer`, one for each of `layers`.
    """

    graph: Graph
    result: Ref | None
    image: Image
    platform: Platform
    steps: tuple[Step, ...] = ()
    layers: tuple[Ref, ...] = ()  # the trees after each instruction that made a layer, bottom first
    base: Image | None = None
    base_reference: str = ""
    sources: tuple[Source, ...] = ()
    warnings: tuple[Warning_, ...] = ()
    target: str = ""
    epoch: int | None = None  # SOURCE_DATE_EPOCH, seconds
    build_args: tuple[tuple[str, str], ...] = ()  # those that were used, without the proxies: for provenance
