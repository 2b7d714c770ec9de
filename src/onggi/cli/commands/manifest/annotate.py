"""Say more of a manifest in a local manifest list: what it runs on."""

from __future__ import annotations

from onggi.cli import manifest_lists
from onggi.cli.errors import CommandError
from onggi.cli.manifest_lists import NoSuchManifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.cli.flags import Flags
    from onggi.cli.session import Session
    from onggi.spec.reference import Reference

USAGE = "MANIFEST_LIST MANIFEST"
ARGUMENTS = (2, 2)
FLAGS = (
    ("arch", "", "string", "", "Architecture"),
    ("os", "", "string", "", "Operating system"),
    ("os-features", "", "strings", None, "Features of the operating system"),
    ("os-version", "", "string", "", "Version of the operating system"),
    ("variant", "", "string", "", "Variant of the architecture"),
)

# What Docker's client lets through: Go's table of systems and architectures.
ARCHITECTURES = {
    "darwin": ("386", "amd64", "arm", "arm64"),
    "dragonfly": ("amd64",),
    "freebsd": ("386", "amd64", "arm"),
    "linux": ("386", "amd64", "arm", "arm64", "ppc64le", "mips64", "mips64le", "riscv64", "s390x"),
    "netbsd": ("386", "amd64", "arm"),
    "openbsd": ("386", "amd64", "arm"),
    "plan9": ("386", "amd64"),
    "solaris": ("amd64",),
    "windows": ("386", "amd64"),
}
ORDER = ("architecture", "os", "os.version", "os.features", "variant")


def run(session: Session, flags: Flags, args: list[str]) -> int:
    listed = _named(args[0], "manifest list")
    named = _named(args[1], "manifest")
    try:
        manifest = manifest_lists.member(session, listed, named)
    except NoSuchManifest:
        raise CommandError(f"manifest for image {args[1]} does not exist in {args[0]}") from None
    platform = _changed(manifest["Descriptor"].get("platform") or {}, flags)
    if platform.get("architecture") not in ARCHITECTURES.get(str(platform.get("os")), ()):
        raise CommandError(
            f"manifest entry for image has unsupported os/arch combination: {flags['os']}/{flags['arch']}"
        )
    manifest["Descriptor"]["platform"] = platform
    manifest_lists.save(session, listed, named, manifest)
    return 0


def _named(text: str, what: str) -> Reference:
    try:
        return manifest_lists.parse(text)
    except CommandError as error:
        raise CommandError(f"annotate: error parsing name for {what} {text}: {error.message}") from None


def _changed(platform: dict[str, Any], flags: Flags) -> dict[str, Any]:
    given = {"architecture": "arch", "os": "os", "os.version": "os-version", "variant": "variant"}
    found = {**platform, **{key: flags[flag] for key, flag in given.items() if flags[flag]}}
    features = list(dict.fromkeys([*(platform.get("os.features") or []), *flags["os-features"]]))
    if features:
        found["os.features"] = features
    return {key: found.get(key, "") for key in ORDER if found.get(key) or key in ("architecture", "os")}
