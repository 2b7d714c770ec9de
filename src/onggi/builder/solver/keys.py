"""The cache key of a vertex: what it does, and what it does it on.

    Exec      the definition, the layers below, mounted trees by what a process could see of them
    FileOp    the definition, the layers below, and the bytes of what is copied, never times: cache/content.py
    Merge     the layers of every input
    sources   none: they say themselves what they are (executors/sources.py)

Layers are named by chain ids, which are digests of their bytes, so a key says the same on every machine. The
parts are kept with the result, so that `why` can name the one that differs.
"""

from __future__ import annotations

import hashlib

import msgspec

from onggi.builder.cache import content
from onggi.builder.cache.cache import Part
from onggi.builder.graph import (
    DIGEST_VERSION,
    Bind,
    Cache,
    CopyAction,
    Exec,
    FileOp,
    Op,
    Owner,
    Vertex,
)
from onggi.builder.solver.results import Result, Stack
from onggi.builder.solver.views import Views

EMPTY_TREE = "empty"
SELECTIONS_MAX = 10_000  # of one tree, or of all layers together


class Key(msgspec.Struct, frozen=True):
    """`digest` finds a result in the cache."""

    digest: str
    parts: tuple[Part, ...]


def key(views: Views, vertex: Vertex, inputs: list[Result | None]) -> Key:
    """The key of a vertex whose inputs are made. Blocking: files are read. Raises SourceMissing, OSError."""
    parts = [Part("instruction", _definition(vertex))]
    op = vertex.op
    if isinstance(op, Exec):
        parts += _exec(views, op, inputs)
    elif isinstance(op, FileOp):
        parts += _files(views, op, inputs)
    else:
        parts += [Part(f"input {number}", identity(views, one)) for number, one in enumerate(inputs)]
    whole = hashlib.sha256(msgspec.json.encode([part.digest for part in parts]))
    return Key("sha256:" + whole.hexdigest(), tuple(parts))


def identity(views: Views, result: Result | None) -> str:
    """What a whole tree is."""
    if isinstance(result, Stack):
        return result.top or EMPTY_TREE
    if result is not None and result.version:
        return result.version
    return _tree(views, result, "/")


def _definition(vertex: Vertex) -> str:
    op: Op = vertex.op
    if isinstance(op, Exec):
        op = msgspec.structs.replace(op, proxy=())
    body = msgspec.json.encode((DIGEST_VERSION, op, vertex.platform))
    return "sha256:" + hashlib.sha256(body).hexdigest()


def _exec(views: Views, op: Exec, inputs: list[Result | None]) -> list[Part]:
    parts = []
    for mount in op.mounts:
        if mount.input < 0:
            continue
        tree = inputs[mount.input]
        if mount.target == "/":
            parts.append(Part("file system", identity(views, tree)))
        elif isinstance(mount, Bind) and mount.read_only and mount.content_cache != "off":
            what = f"files mounted at {mount.target}"
            parts.append(Part(what, _part_of(views, tree, mount.source)))
        elif isinstance(mount, Bind | Cache):
            parts.append(Part(f"tree mounted at {mount.target}", identity(views, tree)))
    return parts


def _part_of(views: Views, tree: Result | None, source: str) -> str:
    if tree is None:
        return EMPTY_TREE
    if not source.strip("/"):
        return identity(views, tree)
    return _tree(views, tree, source)


def _files(views: Views, op: FileOp, inputs: list[Result | None]) -> list[Part]:
    """Trees that are written to count as a whole, those that are copied from by what is copied."""
    whole: dict[int, None] = {}
    parts = []
    for action in op.actions:
        whole.setdefault(action.input)
        owner: Owner | None = getattr(action, "owner", None)
        if owner is not None and owner.input >= 0:
            whole.setdefault(owner.input)
    for number in sorted(whole):
        if 0 <= number < len(inputs):
            parts.append(Part("file system", identity(views, inputs[number])))
    for action in op.actions:
        if isinstance(action, CopyAction) and 0 <= action.from_input < len(inputs):
            tree = inputs[action.from_input]
            parts.append(Part(f"files of {action.source}", _selected(views, tree, action)))
    return parts


def _tree(views: Views, tree: Result | None, source: str) -> str:
    """A file or directory as a mount shows it: owners, modes and all."""
    whole = CopyAction(from_input=0, source=source, target="/", wildcard=False, contents_only=True)
    return _selected(views, tree, whole)


def _selected(views: Views, tree: Result | None, action: CopyAction) -> str:
    """What an action takes of a tree, looked at once as long as nobody changes the tree."""
    if tree is None:
        return EMPTY_TREE
    said = msgspec.json.encode(msgspec.structs.replace(action, input=0, output=-1, from_input=0, target=""))
    name = hashlib.sha256(said).hexdigest()
    if isinstance(tree, Stack):
        name = f"{tree.top} {name}"
    selected = views.selected(tree)
    found = selected.get(name)
    if found is None:
        found = content.selection(views.root(tree), action, views.digests(tree))
        if len(selected) >= SELECTIONS_MAX:
            selected.clear()
        selected[name] = found
    return found
