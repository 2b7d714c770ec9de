"""The document for another OCI runtime, and the plan that has it carried out (spawn/foreign.py).

What the engine's own runtime does beyond the specification is done before, as trees that lie in the bundle:
the root's layers, overlays, id-mapped mounts (which need runc 1.2 or crun 1.9), directories below a mount,
secrets, and binds whose propagation reaches the host. The other runtime binds them as it would any directory.
"""

from __future__ import annotations

from onggi.errors import InvalidParameter
from onggi.jsontext import dumps
from onggi.kernel import mounts as k
from onggi.runtime import cgroups
from onggi.runtime.compile.document import field, objects, strings
from onggi.runtime.compile.mounts import KEEP, parse
from onggi.runtime.compile.namespaces import id_map
from onggi.spawn import plan as plans
from onggi.spawn.plan import SUBDIR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from onggi.runtime.cgroups.layout import Layout
    from onggi.spawn.plan import Mount, Plan, Step

VERSION = "1.0.2"  # what there is in the document; crun 1.8 refuses later ones
_SPREADING = k.MS_SHARED | k.MS_SLAVE
_ALL_IDS = "0 0 4294967295"


def foreign(
    config: dict[str, Any],
    *,
    container_id: str,
    runtime: tuple[str, ...],
    state_dir: str,
    place: str,
    root_mounts: Iterable[Mount],
    staged: Iterable[Step] = (),
    layout: Layout,
) -> Plan:
    """The plan of a container of the runtime whose command line begins with `runtime`.

    `place` is the empty directory that its bundle lies on, `state_dir` that of --root. Raises
    InvalidParameter, which names what only the engine's own runtime can do.
    """
    plan = _new(container_id, runtime, place)
    linux = field(config, "linux", dict, {})
    maps = (id_map(linux, "uidMappings", "linux"), id_map(linux, "gidMappings", "linux"))
    trees = _Trees(place, maps, tuple(staged))
    document = {**config, "ociVersion": VERSION, "root": {**config["root"], "path": f"{place}/rootfs"}}
    document["mounts"] = [trees.entry(entry, index) for index, entry in enumerate(objects(config, "mounts"))]
    for number, each in enumerate(root_mounts):
        trees.host.append(("layered", f"root-{number}", *each))
        trees.placed.append((f"root-{number}", "rootfs", False))
    plan["host"] = [("mkdir", state_dir), *trees.steps()]
    plan["trees"] = trees.placed
    plan["document"] = dumps(document).encode()
    plan["terminal"] = field(field(config, "process", dict, {}), "terminal", bool, False, "process")
    made = cgroups.compile(layout, field(linux, "cgroupsPath", str, "", "linux"), {}, [])
    plan["undo"] = [("runtime", (*runtime, "delete", "--force", container_id)), *made.undo]
    return plan


def foreign_process(
    document: dict[str, Any], *, container_id: str, runtime: tuple[str, ...], place: str
) -> Plan:
    """The plan of an exec in one of these containers."""
    plan = _new(container_id, runtime, place)
    plan["document"] = dumps(document).encode()
    plan["terminal"] = field(document, "terminal", bool, False, "process")
    return plan


def _new(container_id: str, runtime: tuple[str, ...], place: str) -> Plan:
    return {**plans.new(container_id), "runtime": runtime, "place": place, "trees": [], "document": b""}


class _Trees:
    """Which mounts become trees in the bundle: the steps that make them, and where they lie."""

    def __init__(self, place: str, maps: tuple[str, str], staged: tuple[Step, ...]) -> None:
        self.place = place
        self.maps = maps
        self.staged = staged
        self.stages = tuple(step[1] for step in staged if step[0] == "stage")
        self.wanted: list[tuple[str, str, bool, str]] = []
        self.host: list[Step] = []
        self.placed: list[tuple[str, str, bool]] = []

    def entry(self, entry: dict[str, Any], index: int) -> dict[str, Any]:
        """The mount as the other runtime gets it."""
        words = strings(entry, "options", f"mounts[{index}]")
        if any(word.startswith(KEEP) for word in words):
            raise InvalidParameter(
                f"mount {entry['destination']}: exclude needs the engine's own runtime (--runtime onggi)"
            )
        each = parse(entry, f"mounts[{index}]", "")
        slot = f"mounts/{index}"
        if each[2] == "overlay":
            self.host.append(("layered", slot, *each))
            words = ["rbind", "rprivate", "ro" if each[3] & k.MS_RDONLY else "rw"]
        elif each[2] == "bind" and self._is_ours(each):
            self._bind(each, slot)
        else:
            return entry
        self.placed.append((slot, slot, "rro" in words))
        return {
            "destination": entry["destination"],
            "type": "bind",
            "source": f"{self.place}/{slot}",
            "options": ["ro" if word == "rro" else word for word in words if not word.startswith(SUBDIR)],
        }

    def _is_ours(self, each: Mount) -> bool:
        return bool(
            self.maps[0]  # its root may not walk to the source
            or each[6] is not None
            or SUBDIR in each[4]
            or each[5] & _SPREADING
            or each[7]  # attributes of all that is mounted below
            or self._is_staged(each[0])
        )

    def _is_staged(self, source: str) -> bool:
        return any(source.startswith(f"{stage}/") for stage in self.stages)

    def _bind(self, each: Mount, slot: str) -> None:
        recursive, below = bool(each[3] & k.MS_REC), each[4].partition(SUBDIR)[2]
        if self._is_staged(each[0]):
            self.wanted.append((slot, each[0], recursive, below))
            return
        maps = self.maps if each[6] == ("", "") else each[6] or ("", "")
        self.host.append(("tree", slot, each[0], recursive, *maps, below))

    def steps(self) -> list[Step]:
        if not self.staged:
            return self.host
        maps = self.maps if self.maps[0] else (_ALL_IDS, _ALL_IDS)
        return [("staged", self.staged, *maps, tuple(self.wanted)), *self.host]
