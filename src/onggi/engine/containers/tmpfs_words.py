"""Options of a tmpfs, as --tmpfs and --mount give them, in the form of mount(8).

Docker's defaults come first and give way to what contradicts them; an option that it does not know is refused
before anything is made. See tmpfs(5) for size, nr_blocks, nr_inodes, mode, uid, gid and mpol.
"""

from __future__ import annotations

from onggi.errors import InvalidParameter
from onggi.wire.containers import MountsTmpfsOptions

_DEFAULTS = ("noexec", "nosuid", "nodev")
_OPPOSITES = {
    "ro": "rw", "nosuid": "suid", "nodev": "dev", "noexec": "exec", "sync": "async", "noatime": "atime",
    "nodiratime": "diratime", "norelatime": "relatime", "nostrictatime": "strictatime", "nomand": "mand",
}  # fmt: skip
_SWITCHES = frozenset(_OPPOSITES) | frozenset(_OPPOSITES.values()) | frozenset({"dirsync", "defaults"})
_PROPAGATIONS = frozenset(
    f"{r}{word}" for r in ("", "r") for word in ("private", "shared", "slave", "unbindable")
)
_VALUES = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"})


def merged(words: str) -> str:
    """`size=64m,exec` -> all options, the defaults included. Raises InvalidParameter."""
    found: dict[str, str] = {word: word for word in _DEFAULTS}
    for word in filter(None, words.split(",")):
        name, equals, value = word.partition("=")
        if name not in (_VALUES if equals else _SWITCHES | _PROPAGATIONS):
            raise InvalidParameter(f'invalid tmpfs option ["{word}"]')
        if name in _VALUES:
            _check_value(name, value, word)
        group = next((no for no, yes in _OPPOSITES.items() if name in (no, yes)), name)
        group = "propagation" if name in _PROPAGATIONS else group
        found.pop(group, None)
        found[group] = word
    return ",".join(found.values())


def of_mount(options: MountsTmpfsOptions | None) -> str:
    """The same for TmpfsOptions. Raises InvalidParameter."""
    if options is None:
        return merged("")
    if options.size_bytes < 0:
        raise InvalidParameter('invalid mount config for type "tmpfs": size must not be negative')
    words = [f"size={options.size_bytes}"] if options.size_bytes else []
    if options.mode:
        if not 0 < options.mode <= 0o7777:
            raise InvalidParameter(f'invalid mount config for type "tmpfs": mode {options.mode:o} is not one')
        words.append(f"mode={options.mode:o}")
    for option in options.options:
        if len(option) not in (1, 2):
            raise InvalidParameter('invalid mount config for type "tmpfs": invalid option array length')
        words.append("=".join(option))
    return merged(",".join(words))


def _check_value(name: str, value: str, word: str) -> None:
    """Numbers are checked here, so that a wrong one is refused at create and not at start."""
    digits = value
    if name in ("size", "nr_inodes", "nr_blocks"):
        digits = value[:-1] if value[-1:].lower() in tuple("kmg%") else value
    base = 8 if name == "mode" else 10
    if name in ("mpol", "huge"):
        return
    try:
        if not (digits.isascii() and digits.isalnum()):
            raise ValueError(digits)
        int(digits, base)
    except ValueError:
        raise InvalidParameter(f'invalid tmpfs option ["{word}"]') from None
