"""Overlay mounts with any number of layers, detached: by the kernel, or by a program (fuse.py).

Linux 6.5 takes each lower directory by itself (`lowerdir+`, at most 255 bytes each); before that all of
them must
fit into a page of mount(2)'s data. Paths are made short by standing in their common directory.
"""

from __future__ import annotations

import errno
import os

from onggi.kernel import mounts
from onggi.spawn import fuse
from onggi.spawn.plan import PROGRAM

_VALUE_BYTES = 255


def detached(source: str, data: str, attributes: int) -> int:
    """A detached overlay. `data`: lowerdir=a:b,upperdir=c,workdir=d and other options; `\\` protects ,
    and :"""
    layers, options = parse(data)
    for key, value in options:
        if key == PROGRAM:
            return fuse.detached(value or "", layers, options, attributes)
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    common = _common_directory([*layers, *(value for key, value in options if key in _DIRECTORIES and value)])
    try:
        if common:
            os.chdir(common)
        return _detached(source, common, layers, options, attributes)
    finally:
        os.fchdir(here)
        os.close(here)


_DIRECTORIES = ("upperdir", "workdir")


def _detached(
    source: str, common: str, layers: list[str], options: list[tuple[str, str | None]], attributes: int
) -> int:
    def short(path: str) -> str:
        return path[len(common) :].lstrip("/") or "." if common else path

    listed: list[tuple[str, str | None]] = [("lowerdir+", short(layer)) for layer in layers]
    for key, value in options:
        listed.append((key, short(value) if value and key in _DIRECTORIES else value))
    try:
        return mounts.make_filesystem("overlay", source or "overlay", listed, attributes)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        first = error
    try:  # before 6.5 the words differ: an unknown option, or too many bytes of options (100 layers)
        return _by_page(source, [short(layer) for layer in layers], listed[len(layers) :], attributes)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise first from None


def _by_page(source: str, layers: list[str], options: list[tuple[str, str | None]], attributes: int) -> int:
    """Before 6.5: mount(2) on a place of our own, then taken off it again as a detached mount."""
    words = ["lowerdir=" + ":".join(layer.replace("\\", "\\\\").replace(":", "\\:") for layer in layers)]
    words += [key if value is None else f"{key}={value}" for key, value in options]
    data = ",".join(words)
    if len(data) >= os.sysconf("SC_PAGE_SIZE"):
        raise OSError(errno.E2BIG, f"{len(layers)} layers do not fit into a page of mount options", "overlay")
    place_fd = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)  # /proc/self/cwd is the first thread's
    try:
        mounts.mount(source or "overlay", f"/proc/self/fd/{place_fd}", "overlay", 0, data)
        top_fd = os.open("../" + os.path.basename(os.getcwd()), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            tree_fd = mounts.clone_tree(top_fd)
            mounts.umount2(f"/proc/self/fd/{top_fd}", mounts.MNT_DETACH)
        finally:
            os.close(top_fd)
    finally:
        os.close(place_fd)
    if attributes:
        mounts.mount_setattr(tree_fd, set_=attributes)
    return tree_fd


def parse(data: str) -> tuple[list[str], list[tuple[str, str | None]]]:
    """(lower directories, top first; other options), escapes undone."""
    layers: list[str] = []
    options: list[tuple[str, str | None]] = []
    for word in _split(data, ","):
        key, equals, value = word.partition("=")
        if key == "lowerdir":
            layers += [_unescape(layer) for layer in _split(value, ":")]
        elif key:
            options.append((key, _unescape(value) if equals else None))
    return layers, options


def _split(text: str, separator: str) -> list[str]:
    """Split at unprotected separators; the protection stays."""
    if "\\" not in text:
        return text.split(separator) if text else []
    parts, part, escaped = [], "", False
    for char in text:
        if char == separator and not escaped:
            parts.append(part)
            part = ""
            continue
        part += char
        escaped = char == "\\" and not escaped
    return [*parts, part]


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    out, escaped = "", False
    for char in text:
        if char == "\\" and not escaped:
            escaped = True
            continue
        out += char
        escaped = False
    return out


def _common_directory(paths: list[str]) -> str:
    """The deepest directory above all of absolute paths; empty where they share none but the root."""
    if not paths or not all(path.startswith("/") for path in paths):
        return ""
    split = [path.split("/")[:-1] for path in paths]
    common = split[0]
    for parts in split[1:]:
        length = 0
        while length < min(len(common), len(parts)) and common[length] == parts[length]:
            length += 1
        common = common[:length]
    return "/".join(common)
