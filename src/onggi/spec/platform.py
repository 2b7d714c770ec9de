"""Platforms: os/architecture[/variant], normalised as containerd's platforms package documents it.

Source: OCI image-spec 1.1, image-index.md "platform"; the aliases are those that uname(2) and Debian use.
"""

from __future__ import annotations

import os

import msgspec

from onggi.errors import InvalidParameter

ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "i386": "386",
    "i686": "386",
    "armhf": "arm",
    "armv7l": "arm",
    "armel": "arm",
    "armv6l": "arm",
    "loongarch64": "loong64",
}
VARIANTS = {"armhf": "v7", "armv7l": "v7", "armel": "v6", "armv6l": "v6"}
# What a single word may be; words of two or three are taken as they are (containerd's platforms/database.go).
_OS = """
aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos
"""
_ARCHITECTURES = """
386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips mipsle mips64 mips64le mips64p32
mips64p32le ppc riscv riscv64 s390 s390x sparc sparc64 wasm
"""
KNOWN_OS, KNOWN_ARCHITECTURES = frozenset(_OS.split()), frozenset(_ARCHITECTURES.split())
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class Platform(msgspec.Struct, frozen=True):
    """A normalised platform; an empty variant stands for the architecture's usual one."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


def normal(os_name: str, architecture: str, variant: str = "") -> Platform:
    """The aliases resolved: linux/aarch64 is linux/arm64, linux/arm64/v8 too, linux/armhf is linux/arm/v7."""
    architecture = architecture.lower()
    variant = (variant or VARIANTS.get(architecture, "")).lower()
    architecture = ARCHITECTURES.get(architecture, architecture)
    if architecture == "arm":
        variant = variant or "v7"
        variant = "v" + variant if variant.isdigit() else variant
    usual = {"arm64": ("v8", "8"), "amd64": ("v1",)}
    if variant in usual.get(architecture, ()):
        variant = ""
    return Platform(os_name.lower() or "linux", architecture, variant)


def parse(text: str) -> Platform:
    """`linux/amd64`, `amd64`, `linux`, `linux/arm/v7`. Raises InvalidParameter."""
    parts = text.split("/")
    if len(parts) > 3 or not all(part and _ALLOWED.issuperset(part) for part in parts):
        raise InvalidParameter(
            f'"{text}" is an invalid OS component of "{text}": '
            'OSAndVersion specifier component must match "^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.%-]*)\\))?$"'
            if len(parts) == 1
            else f'"{text}" is not a platform: must be os[/arch[/variant]]: invalid argument'
        )
    if len(parts) > 1:
        return normal(parts[0], parts[1], parts[2] if len(parts) > 2 else "")
    if parts[0].lower() in KNOWN_OS:
        return normal(parts[0], host().architecture, host().variant)
    found = normal("linux", parts[0])
    if found.architecture not in KNOWN_ARCHITECTURES:
        raise InvalidParameter(f'"{text}": unknown operating system or architecture: invalid argument')
    return found


def parse_json(text: str) -> Platform:
    """The JSON form that API 1.48 and newer takes: {"os": ..., "architecture": ..., "variant": ...}."""
    try:
        facts = msgspec.json.decode(text, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise InvalidParameter(f"failed to parse platform: {error}") from None
    named = {key.lower(): str(value) for key, value in facts.items() if value is not None}
    if not named.get("os") or not named.get("architecture"):
        raise InvalidParameter(f"both OS and Architecture must be provided: {text}")
    return normal(named["os"], named["architecture"], named.get("variant", ""))


def host() -> Platform:
    """The platform of this machine's kernel."""
    return normal("linux", os.uname().machine)


def matches(image: Platform, wanted: Platform) -> bool:
    """Whether an image serves a wish; amd64 machines take any amd64 variant, 386 is taken only when named."""
    if (image.os, image.architecture) != (wanted.os, wanted.architecture):
        return False
    return not wanted.variant or image.variant == wanted.variant
