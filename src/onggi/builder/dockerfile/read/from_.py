"""FROM [--platform=] image [AS name]"""

from __future__ import annotations

import re

from onggi.builder.dockerfile.flags import Flags
from onggi.builder.dockerfile.read.base import common, wrong
from onggi.builder.dockerfile.tree import Node
from onggi.builder.dockerfile.words import quoted
from onggi.builder.instructions import Stage

_NAME = re.compile(r"[a-z][a-z0-9-_.]*\Z")


def stage(node: Node) -> Stage:
    name = ""
    if len(node.args) == 3 and node.args[1].lower() == "as":
        name = node.args[2].lower()
        if not _NAME.match(name):
            raise wrong(
                node,
                f"invalid name for build stage: {quoted(node.args[2])}, name can't start with a number or "
                "contain symbols",
            )
    elif len(node.args) != 1:
        raise wrong(node, "FROM requires either one or three arguments")
    flags = Flags(node, texts=("platform",))
    return Stage(
        base=node.args[0],
        name=name,
        platform=flags.text("platform"),
        **common(node),
    )
