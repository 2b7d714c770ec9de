"""The spec directories, read: `vendor.com/class=name` -> device.

A later directory's device hides an earlier one's. Two files of one directory with the same device: neither
counts (the reference library's rule). A file that cannot be used takes nothing but itself away; what is wrong
with it is told.
"""

from __future__ import annotations

import os
import stat

import msgspec

from onggi.engine.cdi.spec import Device, Spec, parse

LARGEST_FILE = 4 << 20  # bytes; a machine with eight GPUs has 100 KiB


class Found(msgspec.Struct, frozen=True):
    device: Device
    spec: Spec
    path: str
    priority: int  # index of the directory


class Catalog(msgspec.Struct, frozen=True):
    devices: dict[str, Found]
    errors: dict[str, list[str]]  # by path

    def vendors(self) -> set[str]:
        return {name.partition("/")[0] for name in self.devices}


def read(directories: tuple[str, ...]) -> Catalog:
    """Blocking."""
    devices: dict[str, Found] = {}
    errors: dict[str, list[str]] = {}
    conflicts: set[str] = set()
    for priority, directory in enumerate(directories):
        for path in _files(directory, errors):
            try:
                spec = _load(path)
            except (OSError, ValueError) as error:
                text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                errors.setdefault(path, []).append(f'failed to load CDI Spec "{path}": {text}')
                continue
            for device in spec.devices or ():
                name = f"{spec.kind}={device.name}"
                other = devices.get(name)
                if other is not None and other.priority == priority:
                    conflicts.add(name)
                    for each in (path, other.path):
                        text = f'conflicting device "{name}" (specs "{path}", "{other.path}")'
                        errors.setdefault(each, []).append(text)
                    continue
                conflicts.discard(name)
                devices[name] = Found(device, spec, path, priority)
    kept = {name: found for name, found in sorted(devices.items()) if name not in conflicts}
    return Catalog(kept, errors)


def _files(directory: str, errors: dict[str, list[str]]) -> list[str]:
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        errors[directory] = [f"{error.strerror}"]
        return []
    return [f"{directory}/{name}" for name in names if name.endswith((".json", ".yaml"))]


def _load(path: str) -> Spec:
    """Raises OSError, ValueError."""
    # A pipe or a terminal with this name must neither stop the engine nor become its terminal.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("not a regular file")
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise ValueError(f"larger than {LARGEST_FILE} bytes")
    if path.endswith(".json"):
        try:
            return parse(msgspec.json.decode(data))
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"failed to unmarshal CDI Spec: {error}") from None
    from onggi.engine.cdi import yaml_text  # 1 MB of memory, for those who have such files

    return parse(yaml_text.loads(data))
