"""What a container may do, listed from inside it, is never more than in a real dockerd's container."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.pairs import IMAGE
from tests.engines import Engine

pytestmark = [pytest.mark.root, pytest.mark.peer]
PROGRAM = (Path(__file__).parent / "audit.sh").read_text()
NARROWING = frozenset({"ro", "nosuid", "nodev", "noexec"})
NAMESPACES = ("mnt", "pid", "ipc", "uts", "net")


def audit(engine: Engine, *flags: str, inside: bool = False) -> set[str]:
    """The facts that audit.sh prints, of a container's program or of an exec in it."""
    if not inside:
        return set(
            engine.docker("run", "--rm", "--network", "none", *flags, IMAGE, "sh", "-c", PROGRAM).splitlines()
        )
    name = engine.docker("run", "-d", "--network", "none", *flags, IMAGE, "sleep", "1000").strip()
    found = set(engine.docker("exec", name, "sh", "-c", PROGRAM).splitlines())
    engine.docker("rm", "-f", name)
    return found


@pytest.fixture(scope="module")
def theirs(dockerd: Engine) -> Callable[..., set[str]]:
    """The facts of dockerd's containers, each kind asked for once."""
    return functools.cache(functools.partial(audit, dockerd))


def of(facts: set[str], kind: str) -> set[str]:
    return {fact.partition(" ")[2] for fact in facts if fact.startswith(kind + " ")}


def weaker(ours: set[str], theirs: set[str]) -> list[str]:
    """In what our container may do more than theirs; empty where it may not."""
    found = []
    allowed = dict(fact.split() for fact in of(theirs, "capability"))
    for fact in of(ours, "capability"):
        name, value = fact.split()
        if int(value, 16) & ~int(allowed[name], 16):
            found.append(f"capability {name} {value}, theirs {allowed[name]}")
    for kind in ("device", "opens", "writable", "shown"):
        found += [f"{kind} {fact}" for fact in sorted(of(ours, kind) - of(theirs, kind))]
    for kind in ("seccomp", "no-new-privileges"):
        if int(*of(ours, kind)) < int(*of(theirs, kind)):
            found.append(f"{kind} {of(ours, kind)}")
    for fact in of(theirs, "mount"):
        target, fstype, option = fact.split()
        there = any(one.startswith(f"{target} {fstype} ") for one in of(ours, "mount"))
        if option in NARROWING and there and f"{target} {fstype} {option}" not in of(ours, "mount"):
            found.append(f"mount {target} {fstype} is not {option}")
    host = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in NAMESPACES}
    found += [
        f"namespace {kind} is the host's"
        for kind in NAMESPACES
        if f"{kind} {host[kind]}" in of(ours, "namespace")
    ]
    return found


FLAGS = (
    (),
    ("-u", "1000:1000"),
    ("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only", "--tmpfs", "/tmp"),
    ("--cap-add", "NET_ADMIN", "--device", "/dev/zero:/dev/other:r"),
)


CASES = [(flags, False) for flags in FLAGS] + [(FLAGS[0], True), (FLAGS[2], True)]


@pytest.mark.parametrize(("flags", "inside"), CASES)
def test_never_weaker(
    onggi: Engine, theirs: Callable[..., set[str]], flags: tuple[str, ...], inside: bool
) -> None:
    ours = audit(onggi, *flags, inside=inside)
    assert len(of(ours, "mount")) > 40, "the program has run to its end"
    assert weaker(ours, theirs(*flags, inside=inside)) == []


@pytest.mark.parametrize(("flags", "inside"), CASES)
def test_a_rootless_container_is_never_weaker(
    rootless_onggi: Engine, theirs: Callable[..., set[str]], flags: tuple[str, ...], inside: bool
) -> None:
    ours = audit(rootless_onggi, *flags, inside=inside)
    assert len(of(ours, "mount")) > 20, "the program has run to its end"
    assert weaker(ours, theirs(*flags, inside=inside)) == []


@pytest.mark.parametrize(
    "flags",
    [("--cap-add", "SYS_PTRACE"), ("--security-opt", "seccomp=unconfined"), ("--device", "/dev/kmsg"),
     ("--security-opt", "systempaths=unconfined"), ("--pid", "host")],
    ids=lambda flags: flags[-1],
)  # fmt: skip
def test_the_comparison_sees_what_is_weaker(
    onggi: Engine, theirs: Callable[..., set[str]], flags: tuple[str, ...]
) -> None:
    assert weaker(audit(onggi, *flags), theirs(inside=False)) != []
