"""An operation in provenance: BuildKit's Op in the form of its JSON, which clients read by BuildKit's types.

Source: BuildKit v0.22 solver/pb/json.go and ops.proto. Proxies and values of secrets are in no operation.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from onggi.builder.graph import (
    AnyAction,
    AnyMount,
    Bind,
    Cache,
    CopyAction,
    Diff,
    Exec,
    FileOp,
    GitSource,
    HttpSource,
    ImageSource,
    LocalSource,
    MakeDirectory,
    MakeFile,
    Merge,
    OciLayoutSource,
    Op,
    Owner,
    Remove,
    Secret,
    Ssh,
    Tmpfs,
    Vertex,
)

NETWORKS = ("sandbox", "host", "none")
SECURITY = ("sandbox", "insecure")
SHARING = ("shared", "private", "locked")
CONTENT_CACHE = ("default", "on", "off")


def operation(vertex: Vertex) -> dict[str, Any]:
    """Without its inputs: a step names those, and their digests differ from client to client."""
    platform = {
        "Architecture": vertex.platform.architecture, "OS": vertex.platform.os,
        "Variant": vertex.platform.variant or "",
    }  # fmt: skip
    return {"Op": _op(vertex.op), "platform": _said(platform)}


def _said(values: dict[str, Any]) -> dict[str, Any]:
    """As protobuf has it: what is empty is not there."""
    return {name: value for name, value in values.items() if value not in (None, "", 0, False, [], {})}


def _op(op: Op) -> dict[str, Any]:
    match op:
        case Exec():
            return {"exec": _exec(op)}
        case FileOp():
            return {"file": {"actions": [_action(one) for one in op.actions]}}
        case Merge():
            return {"merge": {"inputs": [{"input": one} for one in op.inputs]}}
        case Diff():
            return {"diff": {"lower": {"input": op.lower}, "upper": {"input": op.upper}}}
    identifier, attributes = source(op)
    return {"source": _said({"identifier": identifier, "attrs": _said(dict(attributes))})}


def source(op: Op) -> tuple[str, dict[str, str]]:
    """Identifier and attributes, as LLB names a source."""
    match op:
        case ImageSource():
            return f"docker-image://{op.reference}", {}
        case OciLayoutSource():
            return f"oci-layout://{op.reference}", {"oci.store": op.store}
        case LocalSource():
            return f"local://{op.name}", {}
        case GitSource():
            place = op.remote.partition("://")[2] or op.remote.replace(":", "/", 1)
            fragment = f"#{op.ref}" + (f":{op.subdir}" if op.subdir else "") if op.ref or op.subdir else ""
            return f"git://{place}{fragment}", {
                "git.fullurl": op.remote,
                "git.keepgitdir": "true" if op.keep_git_dir else "",
                "git.checksum": op.checksum,
            }
        case HttpSource():
            return op.url, {"http.checksum": op.checksum, "http.filename": op.filename}
    raise TypeError(f"not a source: {op!r}")


def _exec(op: Exec) -> dict[str, Any]:
    meta = {
        "args": list(op.args), "env": list(op.env), "cwd": op.cwd, "user": op.user, "hostname": op.hostname,
        "extraHosts": [{"Host": name, "IP": address} for name, address in op.extra_hosts],
        "ulimit": [{"Name": name, "Soft": soft, "Hard": hard} for name, soft, hard in op.ulimits],
        "cgroupParent": op.cgroup_parent,
        "validExitCodes": [] if op.valid_exit_codes == (0,) else list(op.valid_exit_codes),
    }  # fmt: skip
    return _said({
        "meta": _said(meta),
        "mounts": [_mount(one) for one in op.mounts],
        "network": NETWORKS.index(op.network),
        "security": SECURITY.index(op.security),
        "secretenv": [
            _said({"ID": one.id, "name": one.name, "optional": one.optional}) for one in op.secret_env
        ],
        "cdiDevices": [_said({"name": one.name, "optional": one.optional}) for one in op.devices],
    })  # fmt: skip


def _mount(one: AnyMount) -> dict[str, Any]:
    found: dict[str, Any] = {
        "input": one.input, "selector": one.source, "dest": one.target, "output": one.output,
        "readonly": one.read_only,
    }  # fmt: skip
    match one:
        case Bind():
            found["contentCache"] = CONTENT_CACHE.index(one.content_cache)
        case Secret() | Ssh():
            asked = {"ID": one.id, "uid": one.uid, "gid": one.gid, "mode": one.mode, "optional": one.optional}
            is_secret = isinstance(one, Secret)
            found |= {
                "mountType": 1 if is_secret else 2,
                "secretOpt" if is_secret else "SSHOpt": _said(asked),
            }
        case Cache():
            asked = {"ID": one.id, "sharing": SHARING.index(one.sharing)}
            found |= {"mountType": 3, "cacheOpt": _said(asked)}
        case Tmpfs():
            found |= {"mountType": 4, "TmpfsOpt": _said({"size": one.size_bytes})}
    return _said(found)


def _action(one: AnyAction) -> dict[str, Any]:
    found: dict[str, Any] = {"input": one.input, "secondaryInput": -1, "output": one.output}
    timestamp = -1 if one.timestamp is None else one.timestamp
    match one:
        case CopyAction():
            found["secondaryInput"] = one.from_input
            said: dict[str, Any] = {
                "src": one.source, "dest": one.target, "modeStr": one.mode, "mode": -1,
                "owner": _owner(one.owner), "followSymlink": one.follow,
                "dirCopyContents": one.contents_only, "attemptUnpackDockerCompatibility": one.unpack,
                "createDestPath": one.make_parents, "allowWildcard": one.wildcard,
                "allowEmptyWildcard": one.allow_empty, "includePatterns": list(one.includes),
                "excludePatterns": list(one.excludes), "alwaysReplaceExistingDestPaths": one.replace,
                "timestamp": timestamp,
            }  # fmt: skip
            return found | {"Action": {"copy": _said(said)}}
        case MakeFile():
            said = {"path": one.path, "mode": one.mode, "data": b64encode(one.data).decode()}
            return found | {"Action": {"mkfile": _said(_written(said, one.owner, timestamp))}}
        case MakeDirectory():
            said = {"path": one.path, "mode": one.mode, "makeParents": one.make_parents}
            return found | {"Action": {"mkdir": _said(_written(said, one.owner, timestamp))}}
        case Remove():
            said = {"path": one.path, "allowNotFound": one.allow_missing, "allowWildcard": one.wildcard}
            return found | {"Action": {"rm": _said(said)}}
    said = {"oldpath": one.target, "newpath": one.path}
    return found | {"Action": {"symlink": _said(_written(said, one.owner, timestamp))}}


def _written(said: dict[str, Any], owner: Owner | None, timestamp: int) -> dict[str, Any]:
    return {**said, "owner": _owner(owner), "timestamp": timestamp}


def _owner(owner: Owner | None) -> dict[str, Any] | None:
    if owner is None:
        return None
    found = {"user": _account(owner.user, owner.input)}
    if owner.group is not None:
        found["group"] = _account(owner.group, owner.input)
    return found


def _account(account: int | str, tree: int) -> dict[str, Any]:
    if isinstance(account, str):
        return {"User": {"byName": _said({"name": account, "input": tree})}}
    return {"User": _said({"byId": account})}
