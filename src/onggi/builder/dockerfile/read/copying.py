"""COPY and ADD: sources, here-documents among them, and where they go."""

from __future__ import annotations

import msgspec

from onggi.builder.dockerfile import expansion, heredocs
from onggi.builder.dockerfile.flags import Flags
from onggi.builder.dockerfile.read.base import Common, common, name_of, wrong
from onggi.builder.dockerfile.tree import Node
from onggi.builder.instructions import Add, Copy, Heredoc


class _Shared(Common):
    sources: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    target: str
    chown: str
    chmod: str
    link: bool
    excludes: tuple[str, ...]


def copy(node: Node) -> Copy:
    _needs_target(node)
    flags = Flags(node, texts=("chown", "from", "chmod"), switches=("link", "parents"), lists=("exclude",))
    return Copy(**_shared(node, flags), from_=flags.text("from"), parents=bool(flags.switch("parents")))


def add(node: Node) -> Add:
    _needs_target(node)
    flags = Flags(
        node,
        texts=("chown", "chmod", "checksum"),
        switches=("link", "keep-git-dir", "unpack"),
        lists=("exclude",),
    )
    return Add(
        **_shared(node, flags),
        checksum=flags.text("checksum"),
        keep_git_dir=flags.switch("keep-git-dir"),
        unpack=flags.switch("unpack"),
    )


def _needs_target(node: Node) -> None:
    if len(node.args) < 2:
        raise wrong(
            node,
            f"{name_of(node)} requires at least two arguments, but only one was provided. "
            "Destination could not be determined",
        )


def _shared(node: Node, flags: Flags) -> _Shared:
    *sources, target = node.args
    if not node.json and _heredoc(target) is not None:
        raise wrong(node, f"{name_of(node)} cannot accept a heredoc as a destination")
    bodies = {one.name: one.data for one in node.heredocs}
    paths: list[str] = []
    documents: list[Heredoc] = []
    for source in sources:
        one = None if node.json else _heredoc(source)
        if one is None:
            paths.append(source)
            continue
        data = bodies.get(one.name, "")
        documents.append(msgspec.structs.replace(one, data=data))
    return {
        **common(node),
        "sources": tuple(paths),
        "heredocs": tuple(documents),
        "target": target,
        "chown": flags.text("chown"),
        "chmod": flags.text("chmod"),
        "link": bool(flags.switch("link")),
        "excludes": flags.list("exclude"),
    }


def _heredoc(word: str) -> Heredoc | None:
    try:
        return heredocs.parse(word)
    except expansion.Failed:
        return None
