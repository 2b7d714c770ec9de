"""onggi-runtime spec: an example config.json in the bundle's directory."""

from __future__ import annotations

import os
import sys

from onggi.errors import Conflict
from onggi.runtime import example
from onggi.runtime.options import Option
from onggi.runtime.verbs import line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.runtime.command import Runtime

OPTIONS = {
    "bundle": Option("path", "the bundle's directory", short="b"),
    "rootless": Option(None, "for a user without root"),
}


def run(runtime: Runtime, words: list[str]) -> int:
    options, _ = line.split("spec", OPTIONS, words, "[options]", 0, 0)
    path = os.path.join(options["bundle"], "config.json")
    document = example.rootless(os.geteuid(), os.getegid()) if options["rootless"] else example.config()
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise Conflict("File config.json exists. Remove it first") from None
    with open(fd, "w", encoding="utf-8") as file:
        file.write(example.pretty(document) + "\n")
    runtime.log("debug", f"wrote {path}")
    sys.stdout.flush()
    return 0
