"""LLB of clients to our graph: a Definition's operations, each by the digest of its bytes, become vertices.

    Definition.def = [Op, Op, ..., Op without an operation whose one input is the result]

Both know the same operations (builder/graph.py), so nothing is lost; what has no equivalent here is refused
by name. Definitions are hostile: a digest is of the bytes that came, so there are no circles; their size is
bounded.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import urlsplit

from google.protobuf.message import DecodeError

from onggi.builder.buildkit.messages import kind
from onggi.builder.graph import (
    Action,
    AnyMount,
    Bind,
    Cache,
    CdiDevice,
    CopyAction,
    Diff,
    Exec,
    FileOp,
    GitSource,
    Graph,
    HttpSource,
    ImageSource,
    LocalSource,
    MakeDirectory,
    MakeFile,
    Merge,
    Meta,
    OciLayoutSource,
    Op,
    Owner,
    Ref,
    Remove,
    Secret,
    SecretEnv,
    Ssh,
    Symlink,
    Tmpfs,
    vertex,
)
from onggi.builder.plan.bases import Bases
from onggi.builder.plan.stage import PATH
from onggi.errors import InvalidParameter, NotImplemented_
from onggi.spec import reference as references
from onggi.spec.platform import Platform, host, normal

OPS_MAX = 20_000
BYTES_MAX = 64 << 20
RESULT = "onggi-result://"  # a result of this engine's, handed back by a client: build.py
RESULT_STORE = "onggi-result"
SHARING = ("shared", "private", "locked")
CONTENT_CACHE = ("default", "on", "off")


async def graph_of(definition: Any, bases: Bases, *, shared_key: str = "") -> tuple[Graph, Ref | None]:
    """The graph and its result; None for an empty definition. Raises InvalidParameter, NotImplemented_, and
    what `bases` raises for an image.
    """
    blobs = list(getattr(definition, "def"))
    if not blobs:
        return Graph(), None
    if len(blobs) > OPS_MAX or sum(map(len, blobs)) > BYTES_MAX:
        raise InvalidParameter(f"LLB: more than {OPS_MAX} operations, or {BYTES_MAX} bytes")
    ops = {_digest(data): _op(data) for data in blobs}
    last = ops[_digest(blobs[-1])]
    if len(last.inputs) != 1 or _which(last):
        raise InvalidParameter("LLB: the last operation names no result")
    return await _Reading(ops, definition.metadata, bases, shared_key).read(last.inputs[0])


def definition_of(identifier: str) -> Any:
    """A Definition of one source: what stands for a result of ours at a client."""
    source = kind("Op")(source=kind("SourceOp")(identifier=identifier)).SerializeToString()
    end = kind("Op")(inputs=[kind("Input")(digest=_digest(source))]).SerializeToString()
    found = kind("Definition")(**{"def": [source, end]})
    for data in (source, end):  # a definition without metadata is none for clients
        found.metadata[_digest(data)].SetInParent()
    return found


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _op(data: bytes) -> Any:
    try:
        return kind("Op").FromString(data)
    except DecodeError as error:
        raise InvalidParameter(f"LLB: {error}") from None


def _which(op: Any) -> str:
    names = ("exec", "source", "file", "build", "merge", "diff")
    return next((name for name in names if op.HasField(name)), "")


class _Reading:
    def __init__(self, ops: dict[str, Any], metadata: Any, bases: Bases, shared_key: str) -> None:
        self._ops = ops
        self._metadata = metadata
        self._bases = bases
        self._shared_key = shared_key
        self._graph = Graph()
        self._made: dict[str, str] = {}  # LLB's digest -> ours

    async def read(self, wanted: Any) -> tuple[Graph, Ref]:
        """Inputs first, without recursion: a chain may be long."""
        todo = [wanted.digest]
        while todo:
            digest = todo[-1]
            if digest in self._made:
                todo.pop()
                continue
            op = self._ops.get(digest)
            if op is None:
                raise InvalidParameter(f"LLB: operation {digest} is missing")
            missing = [one.digest for one in op.inputs if one.digest not in self._made]
            if missing:
                todo += missing
                continue
            todo.pop()
            self._made[digest] = await self._vertex(digest, op)
        return self._graph, self._ref(wanted)

    def _ref(self, one: Any) -> Ref:
        made = self._made[one.digest]
        if one.index not in _outputs(self._graph.vertices[made].op):
            raise InvalidParameter(f"LLB: operation {one.digest} has no output {one.index}")
        return Ref(made, one.index)

    async def _vertex(self, digest: str, op: Any) -> str:
        platform = host()
        if op.HasField("platform") and op.platform.OS:
            platform = normal(op.platform.OS, op.platform.Architecture, op.platform.Variant)
        which = _which(op)
        if which == "source":
            made = await source(
                op.source.identifier, dict(op.source.attrs), platform, self._bases,
                shared_key=self._shared_key,
            )  # fmt: skip
        elif which == "exec":
            made = _exec(op.exec, len(op.inputs))
        elif which == "file":
            made = FileOp(
                tuple(_action(one, len(op.inputs) + place) for place, one in enumerate(op.file.actions))
            )
        elif which == "merge":
            made = Merge(tuple(_place(one.input, len(op.inputs)) for one in op.merge.inputs))
        elif which == "diff":
            count = len(op.inputs)
            made = Diff(_place(op.diff.lower.input, count), _place(op.diff.upper.input, count))
        else:
            raise NotImplemented_(f"LLB: operation {which or 'none'} of {digest} is not done by this engine")
        new = vertex(made, map(self._ref, op.inputs), platform, self._meta(digest, op, made))
        return self._graph.add(new).vertex

    def _meta(self, digest: str, op: Any, made: Op) -> Meta:
        if digest not in self._metadata:
            return Meta(name=_shown(op, made))
        found = self._metadata[digest]
        description = dict(found.description)
        return Meta(
            name=description.get("llb.customname") or _shown(op, made),
            ignore_cache=found.ignore_cache,
            export_cache=not found.HasField("export_cache") or found.export_cache.Value,
        )


async def source(
    identifier: str, attrs: dict[str, str], platform: Platform, bases: Bases, *, shared_key: str = ""
) -> Op:
    """A source by its identifier and attributes. Raises InvalidParameter, NotImplemented_, and what `bases`
    raises.
    """
    scheme, colon, rest = identifier.partition("://")
    if not colon:
        raise InvalidParameter(f"LLB: invalid source {identifier!r}")
    match scheme:
        case "docker-image":
            resolve = "pull" if attrs.get("image.resolvemode") == "pull" else "default"
            base = await bases.image(canonical(rest), platform, resolve)
            return ImageSource(reference=base.reference, layer_limit=_limit(attrs, "image.layerlimit"))
        case "oci-layout":
            store = attrs.get("oci.store") or rest.partition("@")[0].rpartition("/")[2]
            reference = f"{store}@{rest.partition('@')[2]}"
            await bases.oci_layout(store, reference, platform)
            return OciLayoutSource(
                reference=reference, store=store, layer_limit=_limit(attrs, "oci.layerlimit")
            )
        case "onggi-result":
            return OciLayoutSource(reference=f"{RESULT_STORE}@{rest}", store=RESULT_STORE)
        case "local":
            return _local(rest, attrs, shared_key)
        case "git":
            return _git(rest, attrs)
        case "http" | "https":
            return _http(identifier, attrs)
    raise NotImplemented_(f"LLB: sources of kind {scheme!r} are not read by this engine")


def canonical(name: str) -> str:
    """An image's reference with its domain and a tag or digest. Raises InvalidParameter."""
    return str(references.parse(name).tagged())


def _local(name: str, attrs: dict[str, str], shared_key: str) -> LocalSource:
    if not name or not (name.isascii() and name.isprintable()):  # it travels in a header
        raise InvalidParameter(f"LLB: invalid name of a directory {name!r}")
    hint = attrs.get("local.sharedkeyhint", name)
    return LocalSource(
        name=name,
        includes=_list(attrs, "local.includepattern"),
        excludes=_list(attrs, "local.excludepatterns"),
        follow=_list(attrs, "local.followpaths"),
        shared_key=f"{hint}:{shared_key}",
    )


def _outputs(op: Op) -> set[int]:
    """The numbers under which an operation offers trees."""
    if isinstance(op, Exec):
        return {mount.output for mount in op.mounts if mount.output >= 0}
    if isinstance(op, FileOp):
        return {action.output for action in op.actions if action.output >= 0}
    return {0}


def _shown(op: Any, made: Op) -> str:
    """What progress calls an operation, as BuildKit does."""
    if isinstance(made, Exec):
        return " ".join(made.args)
    if op.HasField("source"):
        return str(op.source.identifier)
    return {Merge: "merge", Diff: "diff", FileOp: "file operations"}.get(type(made), "")


def _list(attrs: dict[str, str], name: str) -> tuple[str, ...]:
    text = attrs.get(name, "")
    try:
        found = json.loads(text) if text else []
    except ValueError:
        found = None
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise InvalidParameter(f"LLB: attribute {name} is no list of texts: {text!r}")
    return tuple(found)


def _limit(attrs: dict[str, str], name: str) -> int | None:
    return _number(attrs, name) if name in attrs else None


def _number(attrs: dict[str, str], name: str, base: int = 10) -> int:
    try:
        return int(attrs[name], base)
    except ValueError:
        raise InvalidParameter(f"LLB: attribute {name} is no number: {attrs[name]!r}") from None


def _git(rest: str, attrs: dict[str, str]) -> GitSource:
    address, _, fragment = rest.partition("#")
    ref, _, subdir = fragment.partition(":")
    remote = attrs.get("git.fullurl") or f"https://{address}"
    return GitSource(
        remote=remote, ref=ref, subdir=subdir.strip("/"),
        keep_git_dir=attrs.get("git.keepgitdir", "").lower() == "true",
        checksum=attrs.get("git.checksum", ""),
        auth_token_secret=attrs.get("git.authtokensecret", ""),
        auth_header_secret=attrs.get("git.authheadersecret", ""),
        known_hosts=attrs.get("git.knownsshhosts", ""),
        ssh_id=attrs.get("git.mountsshsock", ""),
    )  # fmt: skip


def _http(url: str, attrs: dict[str, str]) -> HttpSource:
    name = attrs.get("http.filename", "")
    if "/" in name or name in (".", "..") or "\0" in name:
        raise InvalidParameter(f"LLB: invalid name of a file {name!r}")
    try:
        host_name = urlsplit(url).hostname
    except ValueError:
        host_name = None
    if not host_name:
        raise InvalidParameter(f"LLB: invalid address {url!r}")
    prefix = "http.header."
    headers = tuple(
        (key[len(prefix) :], value) for key, value in sorted(attrs.items()) if key.startswith(prefix)
    )
    return HttpSource(
        url=url, filename=name, checksum=attrs.get("http.checksum", ""), headers=headers,
        mode=_number(attrs, "http.perm", 8) if "http.perm" in attrs else None,
        uid=_limit(attrs, "http.uid"), gid=_limit(attrs, "http.gid"),
        auth_header_secret=attrs.get("http.authheadersecret", ""),
    )  # fmt: skip


def _place(number: int, count: int) -> int:
    """The number of an input; -1 for none. Raises InvalidParameter."""
    if not -1 <= number < count:
        raise InvalidParameter(f"LLB: input {number} of {count}")
    return number


# -- exec


def _exec(op: Any, count: int) -> Exec:
    meta = op.meta
    if not meta.args:
        raise InvalidParameter("LLB: a process without arguments")
    env = tuple(meta.env)
    if not any(item.startswith("PATH=") for item in env):
        env += (PATH,)
    mounts = tuple(_mount(one, count) for one in op.mounts)
    if sum(mount.target == "/" for mount in mounts) != 1:
        raise InvalidParameter("LLB: a process needs exactly one root")
    proxies = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    pairs = [(name, getattr(meta.proxy_env, name)) for name in proxies if getattr(meta.proxy_env, name)]
    return Exec(
        args=tuple(meta.args), env=env, cwd=meta.cwd or "/", user=meta.user, hostname=meta.hostname,
        extra_hosts=tuple((one.Host, one.IP) for one in meta.extraHosts),
        network=_one(("sandbox", "host", "none"), op.network, "network mode"),
        security=_one(("sandbox", "insecure"), op.security, "security mode"),
        ulimits=tuple((one.Name, one.Soft, one.Hard) for one in meta.ulimit),
        cgroup_parent=meta.cgroupParent,
        valid_exit_codes=tuple(meta.validExitCodes) or (0,),
        mounts=mounts,
        secret_env=tuple(SecretEnv(one.ID, one.name, one.optional) for one in op.secretenv),
        devices=tuple(CdiDevice(one.name, one.optional) for one in op.cdiDevices),
        proxy=tuple(pair for name, value in pairs for pair in ((name, value), (name.upper(), value))),
    )  # fmt: skip


def _one(names: tuple[str, ...], number: int, what: str) -> str:
    if not 0 <= number < len(names):
        raise NotImplemented_(f"LLB: {what} {number} is not known here")
    return names[number]


def _mount(one: Any, count: int) -> AnyMount:
    common: dict[str, Any] = {
        "target": one.dest, "input": _place(one.input, count), "source": one.selector, "output": one.output,
        "read_only": one.readonly,
    }  # fmt: skip
    if one.output < -1 or not one.dest.startswith("/") or "\0" in one.dest + one.selector:
        raise InvalidParameter(f"LLB: invalid mount at {one.dest!r}")
    match one.mountType:
        case 0:
            return Bind(**common, content_cache=_one(CONTENT_CACHE, one.contentCache, "content cache"))
        case 1:
            asked = one.secretOpt
            return Secret(
                target=one.dest, id=asked.ID, uid=asked.uid, gid=asked.gid, mode=asked.mode & 0o777 or 0o400,
                optional=asked.optional,
            )  # fmt: skip
        case 2:
            asked = one.SSHOpt
            return Ssh(
                target=one.dest, id=asked.ID, uid=asked.uid, gid=asked.gid, mode=asked.mode & 0o777 or 0o600,
                optional=asked.optional,
            )  # fmt: skip
        case 3:
            return Cache(**common, id=one.cacheOpt.ID, sharing=_one(SHARING, one.cacheOpt.sharing, "sharing"))
        case 4:
            return Tmpfs(target=one.dest, size_bytes=max(0, one.TmpfsOpt.size))
    raise NotImplemented_(f"LLB: mounts of type {one.mountType} are not known here")


# -- files


def _action(one: Any, places: int) -> Any:
    """`places`: how many inputs and earlier actions there are."""
    common: dict[str, Any] = {"input": _place(one.input, places), "output": max(-1, one.output)}
    for name, read in (
        ("copy", _copy), ("mkfile", _make_file), ("mkdir", _make_directory), ("rm", _remove),
        ("symlink", _symlink),
    ):  # fmt: skip
        if one.HasField(name):
            said = getattr(one, name)
            _check_paths(said)
            if name == "copy":
                common["from_input"] = _place(one.secondaryInput, places)
            return read(said, common, places)
    raise NotImplemented_("LLB: a file action that is not known here")


def _check_paths(said: Any) -> None:
    for field in ("path", "src", "dest", "oldpath", "newpath"):
        if "\0" in getattr(said, field, ""):
            raise InvalidParameter(f"LLB: invalid path {getattr(said, field)!r}")


def _at(said: Any, common: dict[str, Any]) -> dict[str, Any]:
    return common | {"timestamp": said.timestamp if said.timestamp >= 0 else None}


def _copy(said: Any, common: dict[str, Any], places: int) -> Action:
    mode = said.modeStr or (f"{said.mode & 0o7777:o}" if said.mode >= 0 else "")
    return CopyAction(
        **_at(said, common), source=said.src, target=said.dest, mode=mode,
        owner=_owner(said.owner, said, places), follow=said.followSymlink, contents_only=said.dirCopyContents,
        unpack=said.attemptUnpackDockerCompatibility, make_parents=said.createDestPath,
        wildcard=said.allowWildcard, allow_empty=said.allowEmptyWildcard,
        includes=tuple(said.include_patterns), excludes=tuple(said.exclude_patterns),
        replace=said.alwaysReplaceExistingDestPaths,
    )  # fmt: skip


def _make_file(said: Any, common: dict[str, Any], places: int) -> Action:
    owner = _owner(said.owner, said, places)
    return MakeFile(**_at(said, common), path=said.path, data=said.data, mode=said.mode & 0o7777, owner=owner)


def _make_directory(said: Any, common: dict[str, Any], places: int) -> Action:
    return MakeDirectory(
        **_at(said, common), path=said.path, mode=said.mode & 0o7777, make_parents=said.makeParents,
        owner=_owner(said.owner, said, places),
    )  # fmt: skip


def _remove(said: Any, common: dict[str, Any], places: int) -> Action:
    return Remove(**common, path=said.path, allow_missing=said.allowNotFound, wildcard=said.allowWildcard)


def _symlink(said: Any, common: dict[str, Any], places: int) -> Action:
    return Symlink(
        **_at(said, common), target=said.oldpath, path=said.newpath, owner=_owner(said.owner, said, places)
    )


def _owner(owner: Any, said: Any, places: int) -> Owner | None:
    if not said.HasField("owner"):
        return None
    user, tree = _account(owner.user, places) if owner.HasField("user") else (0, -1)
    group, other = _account(owner.group, places) if owner.HasField("group") else (None, tree)
    return Owner(user=user or 0, group=group, input=max(tree, other))


def _account(one: Any, places: int) -> tuple[int | str, int]:
    if one.HasField("byName"):
        return one.byName.name, _place(one.byName.input, places)
    return one.byID, -1
