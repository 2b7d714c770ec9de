"""`onggi system check`: every fault of the store, and with repair what can be mended.

Looks at database, blobs, index.json, images, layers, snapshots, containers, volumes, networks and secrets,
each against the others. The engine works on meanwhile: what came or went while it was looked at is no fault.
Repair mends one fault after the other, in the order of what they stand on, and looks again: what shows only
now is mended as well, for three rounds. A fault whose mending failed, or that is found again, is left and
said so. Each mending has a commit point of its own. Failpoint: check.mended.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from onggi import failpoints
from onggi.engine.system.faults import containers, database, networks, secrets, volumes
from onggi.errors import OnggiError
from onggi.images.check import blobs, layers
from onggi.images.check.fault import Checked, Fault
from onggi.wire.checks import StoreFault, SystemCheck

if TYPE_CHECKING:
    from onggi.engine.engine import Engine

FOUND, MENDED = "found", "mended"
ROUNDS = 3
_one_at_a_time = asyncio.Lock()


async def check(engine: Engine, *, repair: bool = False, quick: bool = False) -> SystemCheck:
    """`quick` reads rows and names, not what is in files. Only an I/O error of the root itself is raised."""
    async with _one_at_a_time:
        checked, found = await _look(engine, quick)
        if not repair or not found:
            return _answer(checked, [(fault, FOUND) for fault in found])
        outcomes: list[tuple[Fault, str]] = []
        left = found
        for _ in range(ROUNDS):
            known = {(fault.kind, fault.object) for fault, _ in outcomes}
            fresh = [fault for fault in left if (fault.kind, fault.object) not in known]
            if not fresh:
                break
            outcomes += [(fault, await engine.offload(_mend, fault)) for fault in fresh]
            checked, left = await _look(engine, quick)
        return _answer(checked, _compared(outcomes, left))


async def _look(engine: Engine, quick: bool) -> tuple[Checked, list[Fault]]:
    """What only the event loop may read is taken first, as values."""
    mounted: dict[str, list[str]] = {}
    for container in engine.containers.all():
        for mount in container.record.mounts:
            if mount.type == "volume":
                mounted.setdefault(mount.name, []).append(container.name)
    running = [container.record.snapshot for container in engine.containers.all() if container.running]
    return await engine.offload(_faults, engine, mounted, running, quick)


def _faults(
    engine: Engine, mounted: dict[str, list[str]], running: list[str], quick: bool
) -> tuple[Checked, list[Fault]]:
    checked = Checked()
    images = engine.images
    in_use = _below(engine, running)
    found = list(database.faults(engine.database, quick=quick))
    found += blobs.faults(images, checked, quick=quick)
    found += layers.layer_faults(images, checked, in_use, quick=quick)
    found += layers.image_faults(images, checked, in_use)
    found += layers.snapshot_faults(images, checked)
    found += blobs.index_faults(images)
    found += containers.faults(engine, checked)
    found += volumes.faults(engine, checked, mounted)
    found += networks.faults(engine, checked)
    found += secrets.faults(engine, checked)
    return checked, found


def _below(engine: Engine, snapshots: list[str]) -> set[str]:
    """The layers that snapshots stand on."""
    found: set[str] = set()
    for key in snapshots:
        rows = engine.database.read(
            "WITH RECURSIVE chain (key, parent) AS ("
            " SELECT key, parent FROM snapshots WHERE key = ?"
            " UNION SELECT s.key, s.parent FROM snapshots s JOIN chain ON s.key = chain.parent)"
            " SELECT parent FROM chain WHERE parent IS NOT NULL", key,
        )  # fmt: skip
        found |= {row[0] for row in rows}
    return found


def _mend(fault: Fault) -> str:
    if fault.mend is None:
        return FOUND
    try:
        fault.mend()
    except OnggiError as error:
        return f"failed: {error.message}"
    except OSError as error:
        return f"failed: {error}"
    failpoints.hit("check.mended")
    return MENDED


def _compared(outcomes: list[tuple[Fault, str]], left: list[Fault]) -> list[tuple[Fault, str]]:
    """What was to be mended and is there still was not; what shows only now is told too."""
    still = {(fault.kind, fault.object) for fault in left}
    said = []
    for fault, outcome in outcomes:
        here = (fault.kind, fault.object) in still
        if not here and outcome == FOUND:
            outcome = MENDED  # by the mending of another
        said.append((fault, "failed: it is found again" if here and outcome == MENDED else outcome))
    known = {(fault.kind, fault.object) for fault, _ in outcomes}
    return said + [(fault, FOUND) for fault in left if (fault.kind, fault.object) not in known]


def _answer(checked: Checked, said: list[tuple[Fault, str]]) -> SystemCheck:
    return SystemCheck(
        faults=[
            StoreFault(
                kind=fault.kind, object=fault.object, fault=fault.said, size=fault.size,
                remedy=fault.remedy, outcome=outcome,
            )
            for fault, outcome in said
        ],
        left=sum(outcome != MENDED for _, outcome in said),
        checked=msgspec.structs.asdict(checked),
    )  # fmt: skip
