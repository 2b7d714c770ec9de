"""Images under the names that other people's tests want, made of this machine's own programs: its Python, and
Debian's docker-registry.
"""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
import urllib.parse
from pathlib import Path

from tests.engines import Engine, busybox_rootfs

PYTHON = Path("/usr/bin/python3.11")
LIBRARY = Path("/usr/lib/python3.11")
REGISTRY = Path("/usr/bin/docker-registry")
LEFT_OUT = {
    "__pycache__",
    "test",
    "idlelib",
    "lib2to3",
    "ensurepip",
    "tkinter",
    "config-3.11-x86_64-linux-gnu",
}
REGISTRY_CONFIG = b"""version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/registry}, delete: {enabled: true}}
http: {addr: ":5000"}
"""


def python(engine: Engine, *names: str) -> None:
    """Import a root with busybox and a Python 3.11 that is called `python`."""
    _import(engine, _python_root(), names, 'CMD ["python3"]')


def registry(engine: Engine, name: str) -> None:
    """Import a root with a registry that listens at 5000."""
    root = _root([REGISTRY], files={"etc/docker/registry/config.yml": REGISTRY_CONFIG})
    changes = ('ENTRYPOINT ["docker-registry"]', 'CMD ["serve", "/etc/docker/registry/config.yml"]')
    _import(engine, root, (name,), *changes, "EXPOSE 5000", "VOLUME /var/lib/registry")


def _import(engine: Engine, root: bytes, names: tuple[str, ...], *changes: str) -> None:
    more = [("changes", change) for change in (*changes, "ENV PATH=/usr/bin:/bin")]
    first = urllib.parse.urlencode([("fromSrc", "-"), ("repo", names[0]), *more])
    engine.api("POST", f"/images/create?{first}", root)
    for name in names[1:]:
        repository, _, tag = name.partition(":")
        engine.api("POST", f"/images/{names[0]}/tag?repo={repository}&tag={tag}")


def _python_root() -> bytes:
    modules = [*LIBRARY.glob("lib-dynload/*.so")]
    return _root(
        [PYTHON],
        modules,
        tree=LIBRARY,
        links={"usr/bin/python": "python3.11", "usr/bin/python3": "python3.11"},
    )


def _root(
    programs: list[Path],
    modules: list[Path] | None = None,
    *,
    tree: Path | None = None,
    files: dict[str, bytes] | None = None,
    links: dict[str, str] | None = None,
) -> bytes:
    """A tar with busybox, programs, the libraries of these and of their modules, a tree, files and links."""
    out = io.BytesIO(busybox_rootfs())
    with tarfile.open(fileobj=out, mode="a") as tar:
        for program in programs:
            tar.add(program, str(program).lstrip("/"))
        for library in sorted(_libraries([*programs, *(modules or [])])):
            tar.add(Path(library).resolve(), library.lstrip("/"))
        if tree:
            tar.add(tree, str(tree).lstrip("/"), filter=_wanted)
        for name, content in (files or {}).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return out.getvalue()


def _wanted(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if LEFT_OUT & set(info.name.split("/")) else info


def _libraries(objects: list[Path]) -> set[str]:
    said = subprocess.run(["ldd", *map(str, objects)], capture_output=True, text=True).stdout
    return set(re.findall(r"(/lib\S+|/usr/lib\S+\.so\S*) \(0x", said))


def mirrored(engine: Engine, host: str, *names: str) -> None:
    """Push images to a registry that is the engine's mirror of Docker Hub, so that they can be pulled."""
    for name in names:
        repository, _, tag = name.partition(":")
        target = f"{host}/library/{repository}"
        engine.docker("tag", name, f"{target}:{tag}")
        engine.docker("push", f"{target}:{tag}")
        engine.docker("rmi", f"{target}:{tag}")
