"""What packages an image holds: an SPDX 2.3 document of what dpkg, apk and Python have noted in its files.

    var/lib/dpkg/status, var/lib/dpkg/status.d/*     Debian's and its relatives' (distroless)
    lib/apk/db/installed                             Alpine's
    **/site-packages|dist-packages/*.dist-info/METADATA, *.egg-info/PKG-INFO

The image's files are hostile: names are opened below its root, sizes and counts are bounded, and what is no
text is left out. BuildKit runs a scanner image instead; this needs none.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from onggi import __version__
from onggi.images.tree import RESOLVE
from onggi.kernel.files import openat2
from onggi.spec.image import Image

FILE_MAX = 64 << 20
HEAD_MAX = 64 << 10  # of a Python package's metadata: the fields come first
PACKAGES_MAX = 100_000
DIRECTORIES_MAX = 10_000
PYTHON_ROOTS = (
    b"usr/lib",
    b"usr/local/lib",
    b"opt",
    b"app",
    b"usr/lib64",
    b"usr/local/lib64",
    b"venv",
    b"root/.local",
)
_ID = re.compile(r"[^A-Za-z0-9.-]")


class Package(msgspec.Struct, frozen=True, order=True):
    """`kind` is a package URL's type: deb, apk, pypi."""

    kind: str
    name: str
    version: str
    architecture: str = ""
    source: str = ""
    license: str = ""


def document(root_fd: int, image: Image, name: str) -> dict[str, Any]:
    """Of the tree below a descriptor. Blocking."""
    system = _os_release(root_fd)
    found = sorted(set(_limited(root_fd)))
    return _spdx(found, image, name, system)


def _limited(root_fd: int) -> Iterator[Package]:
    for number, package in enumerate(packages(root_fd)):
        if number == PACKAGES_MAX:
            return
        yield package


def packages(root_fd: int) -> Iterator[Package]:
    """Every package that is noted."""
    yield from _dpkg(_read(root_fd, b"var/lib/dpkg/status", FILE_MAX), installed=True)
    for name in _names(root_fd, b"var/lib/dpkg/status.d"):
        if not name.endswith(b".md5sums"):
            yield from _dpkg(_read(root_fd, b"var/lib/dpkg/status.d/" + name, HEAD_MAX), installed=False)
    for place in (b"lib/apk/db/installed", b"usr/lib/apk/db/installed"):
        yield from _apk(_read(root_fd, place, FILE_MAX))
    yield from _python(root_fd)


def _dpkg(text: str, *, installed: bool) -> Iterator[Package]:
    for paragraph in text.split("\n\n"):
        fields = _fields(paragraph.splitlines(), ": ")
        if fields.get("Package") and (not installed or fields.get("Status", "").endswith(" installed")):
            yield Package(
                "deb", fields["Package"], fields.get("Version", ""), fields.get("Architecture", ""),
                fields.get("Source", "").partition(" ")[0],
            )  # fmt: skip


def _apk(text: str) -> Iterator[Package]:
    for paragraph in text.split("\n\n"):
        fields = _fields(paragraph.splitlines(), ":")
        if fields.get("P"):
            yield Package(
                "apk", fields["P"], fields.get("V", ""), fields.get("A", ""), fields.get("o", ""),
                fields.get("L", ""),
            )  # fmt: skip


def _fields(lines: Iterable[str], colon: str) -> dict[str, str]:
    """`Name: value` until the first line that is empty; continued lines are left out."""
    found: dict[str, str] = {}
    for line in lines:
        if not line:
            break
        name, sign, value = line.partition(colon)
        if sign and not line[0].isspace():
            found.setdefault(name, value.strip())
    return found


def _python(root_fd: int) -> Iterator[Package]:
    for directory in _package_directories(root_fd):
        for name in _names(root_fd, directory):
            path = directory + b"/" + name
            text = ""
            if name.endswith(b".dist-info"):
                text = _read(root_fd, path + b"/METADATA", HEAD_MAX)
            elif name.endswith(b".egg-info"):
                text = _read(root_fd, path + b"/PKG-INFO", HEAD_MAX) or _read(root_fd, path, HEAD_MAX)
            fields = _fields(text.splitlines(), ": ")
            if fields.get("Name"):
                license_ = fields.get("License-Expression", "")
                yield Package(
                    "pypi",
                    fields["Name"].lower().replace("_", "-"),
                    fields.get("Version", ""),
                    license=license_,
                )


def _package_directories(root_fd: int) -> Iterator[bytes]:
    """site-packages and dist-packages below the usual places, at most five directories deep."""
    left = DIRECTORIES_MAX
    todo = [(root, 0) for root in PYTHON_ROOTS]
    while todo and left:
        path, depth = todo.pop()
        left -= 1
        for name in _names(root_fd, path, directories=True):
            below = path + b"/" + name
            if name in (b"site-packages", b"dist-packages"):
                yield below
            elif depth < 4:
                todo.append((below, depth + 1))


def _names(root_fd: int, path: bytes, *, directories: bool = False) -> list[bytes]:
    """Names in a directory that is no link; none where there is no such directory."""
    try:
        fd = openat2(root_fd, path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, resolve=RESOLVE)
    except OSError:
        return []
    try:
        with os.scandir(fd) as entries:
            return sorted(
                os.fsencode(one.name)
                for one in entries
                if not directories or one.is_dir(follow_symlinks=False)
            )
    finally:
        os.close(fd)


def _read(root_fd: int, path: bytes, limit: int) -> str:
    try:
        fd = openat2(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, resolve=RESOLVE)
    except OSError:
        return ""
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return ""
        return file.read(limit).decode("utf-8", "replace").replace("\r\n", "\n")


def _os_release(root_fd: int) -> dict[str, str]:
    for path in (b"etc/os-release", b"usr/lib/os-release"):
        text = _read(root_fd, path, HEAD_MAX)
        if text:
            pairs = (line.partition("=") for line in text.splitlines())
            return {name: value.strip().strip("\"'") for name, sign, value in pairs if sign}
    return {}


# -- SPDX


def _spdx(found: list[Package], image: Image, name: str, system: dict[str, str]) -> dict[str, Any]:
    described = [_described(one, system) for one in found]
    body = msgspec.json.encode([name, described])
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"urn:onggi:sbom:{hashlib.sha256(body).hexdigest()}",
        "creationInfo": {
            "created": re.sub(r"\.\d+Z$", "Z", image.created or "1970-01-01T00:00:00Z"),
            "creators": [f"Tool: onggi-{__version__}"],
        },
        "packages": described,
        "relationships": [
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relatedSpdxElement": one["SPDXID"],
                "relationshipType": "DESCRIBES",
            }
            for one in described
        ],
    }


def _described(one: Package, system: dict[str, str]) -> dict[str, Any]:
    locator = _purl(one, system)
    identity = hashlib.sha256(locator.encode()).hexdigest()[:16]
    found: dict[str, Any] = {
        "SPDXID": f"SPDXRef-Package-{one.kind}-{_ID.sub('-', one.name)}-{identity}",
        "name": one.name,
        "versionInfo": one.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}
        ],
    }
    if one.source and one.source != one.name:
        found["sourceInfo"] = f"built from {one.source}"
    if one.license:
        found["comment"] = f"license as the package says: {one.license}"
    return found


def _purl(one: Package, system: dict[str, str]) -> str:
    """Source: package-url purl-spec, types deb, apk and pypi."""
    vendor = "" if one.kind == "pypi" else f"{quote(system.get('ID', 'linux'), safe='')}/"
    asked = [f"arch={quote(one.architecture, safe='')}"] if one.architecture else []
    if vendor and system.get("VERSION_ID"):
        asked.append(f"distro={quote(system.get('ID', 'linux') + '-' + system['VERSION_ID'], safe='')}")
    version = f"@{quote(one.version, safe='')}" if one.version else ""
    return f"pkg:{one.kind}/{vendor}{quote(one.name, safe='')}{version}" + (
        "?" + "&".join(asked) if asked else ""
    )
