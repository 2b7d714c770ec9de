"""Imports go down only: read with ast, compared with the table of the house."""

from __future__ import annotations

import ast
from pathlib import Path

SRC = Path(__file__).parents[2] / "src" / "onggi"

FLOORS: dict[str, int] = {
    "kernel": 0, "errors": 0, "paths": 0, "jsontext": 0, "failpoints": 0, "tls": 0, "__init__": 0,
    "spec": 1, "wire": 1, "store": 1, "spawn": 1,
    "runtime": 2, "images": 2, "signatures": 2, "registry": 2, "network": 2, "volumes": 2,
    "engine": 3,
    "builder": 4,
    "server": 5, "client": 5, "mirror": 5,
    "cli": 6, "daemon": 6, "__main__": 6,
}  # fmt: skip

# Rooms on one floor that one of them may look into.
NEIGHBOURS = {
    ("store", "spec"),
    ("images", "runtime"),
    ("__main__", "cli"),
    ("__main__", "daemon"),
    ("daemon", "cli"),
}

# The only packages that may say ctypes, and what the command line may know of the lower floors.
CTYPES_ROOMS = {"kernel"}
CLI_MAY_IMPORT = {
    "cli",
    "errors",
    "paths",
    "jsontext",
    "tls",
    "kernel",
    "spec",
    "__init__",
    "client",
    "daemon",
}


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "__version__" else "__init__"


def imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            if node.module == "onggi":
                found += [f"onggi.{alias.name}" for alias in node.names]
            else:
                found.append(node.module)
    return found


def modules() -> list[tuple[str, Path]]:
    listed = []
    for path in sorted(SRC.rglob("*.py")):
        first = path.relative_to(SRC).parts[0].removesuffix(".py")
        listed.append((first, path))
    return listed


def test_every_room_has_a_floor() -> None:
    assert {room for room, _ in modules()} <= set(FLOORS)


def test_imports_go_down_only() -> None:
    wrong = []
    for room, path in modules():
        for name in imports(path):
            if not name.startswith("onggi"):
                continue
            target = room_of(name)
            if target == "__init__":
                continue
            below = FLOORS[target] < FLOORS[room] or target == room or (room, target) in NEIGHBOURS
            if not below:
                wrong.append(f"{path.relative_to(SRC)} imports {name}")
    assert wrong == []


def test_kernel_uses_the_standard_library_only_and_ctypes_lives_there() -> None:
    wrong = [
        f"{path.relative_to(SRC)} imports {name}"
        for room, path in modules()
        for name in imports(path)
        if name.split(".")[0] == "ctypes" and room not in CTYPES_ROOMS
    ]
    assert wrong == []


def test_the_command_line_only_speaks_to_a_socket() -> None:
    wrong = [
        f"{path.relative_to(SRC)} imports {name}"
        for room, path in modules()
        if room == "cli"
        for name in imports(path)
        if name.startswith("onggi") and room_of(name) not in CLI_MAY_IMPORT
    ]
    assert wrong == []
