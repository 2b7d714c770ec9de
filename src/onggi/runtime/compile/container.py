"""The order of a container's steps. Each has its reason for being where it is; the table is spawn/plan.py."""

from __future__ import annotations

import os

from onggi.errors import InvalidParameter
from onggi.kernel import ids
from onggi.kernel.mounts import MS_PRIVATE, MS_REC, MS_SLAVE
from onggi.kernel.namespaces import (
    CLONE_NEWCGROUP,
    CLONE_NEWNS,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
)
from onggi.runtime import cgroups
from onggi.runtime.compile import devices, hooks, process, sysctls
from onggi.runtime.compile.document import field, strings, wrong
from onggi.runtime.compile.mounts import PROPAGATIONS, Mounting
from onggi.runtime.compile.namespaces import Namespaces, id_map, namespaces, time_offsets
from onggi.spawn import plan as plans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from onggi.runtime.cgroups.layout import Layout
    from onggi.spawn.plan import Mount, Plan, Step

_PERSONALITIES = {"LINUX": 0, "LINUX32": 8}


def container(
    config: dict[str, Any],
    *,
    container_id: str,
    bundle_dir: str,
    root_mounts: Iterable[Mount] = (),
    staged: Iterable[Step] = (),
    layout: Layout | None = None,
    cgroups_path: str = "",
    start_fifo: str | None = None,
    no_pivot: bool = False,
    new_keyring: bool = True,
) -> Plan:
    """The plan of a container's init. Raises InvalidParameter, Unavailable.

    `layout` None: no cgroups are touched. `cgroups_path` defaults to `linux.cgroupsPath`, else `/ID`.
    `root_mounts` are mounted on `root.path` first; without them that directory itself is the root.
    `staged` are steps "stage" and "secret-file" that make sources for the document's binds.
    """
    linux = field(config, "linux", dict, {})
    found = namespaces(linux)
    _check(config, linux, found)
    path = cgroups_path or field(linux, "cgroupsPath", str, "", "linux") or f"/{container_id}"
    if not path.startswith("/"):
        path = f"/{path}"
    run = _Container(config, linux, found, container_id, bundle_dir, layout, path)
    plan = plans.new(container_id)
    plan["clone"] = found.clone
    plan["join"] = found.join
    plan["terminal"] = field(run.process, "terminal", bool, False, "process")
    plan["start_fifo"] = start_fifo
    run.fill(plan, tuple(root_mounts), tuple(staged), no_pivot=no_pivot, new_keyring=new_keyring)
    if not found.listed & CLONE_NEWNS:
        plan["warnings"].append("no mount namespace: the container's mounts are the host's until it ends")
    return plan


def _check(config: dict[str, Any], linux: dict[str, Any], found: Namespaces) -> None:
    if linux.get("intelRdt"):
        raise InvalidParameter("linux.intelRdt: resource director technology is not supported")
    version = field(config, "ociVersion", str, "1.2.0")
    if not version.startswith("1."):
        raise wrong("ociVersion", version, "is not a version 1 of the specification")
    if "process" not in config:
        raise InvalidParameter("process: a container needs one")
    for key, kind in (("hostname", "uts"), ("domainname", "uts")):
        if config.get(key) and not found.listed & CLONE_NEWUTS:
            raise wrong(key, config[key], f"needs a {kind} namespace of the container's own")
    mapped = linux.get("uidMappings") or linux.get("gidMappings")
    if mapped and not found.listed & CLONE_NEWUSER:
        raise wrong("linux.uidMappings", mapped, "needs a user namespace")
    if linux.get("timeOffsets") and not found.new & CLONE_NEWTIME:
        raise wrong("linux.timeOffsets", linux["timeOffsets"], "needs a new time namespace")


class _Container:
    """One compilation: the document and what was read from it."""

    def __init__(
        self,
        config: dict[str, Any],
        linux: dict[str, Any],
        found: Namespaces,
        container_id: str,
        bundle_dir: str,
        layout: Layout | None,
        path: str,
    ) -> None:
        self.config = config
        self.linux = linux
        self.found = found
        self.id = container_id
        self.bundle_dir = bundle_dir
        self.layout = layout
        self.path = path
        self.process = field(config, "process", dict, {})
        self.maps = (id_map(linux, "uidMappings", "linux"), id_map(linux, "gidMappings", "linux"))
        self.hooks = hooks.hooks(config, container_id, bundle_dir)
        self.in_userns = bool(found.listed & CLONE_NEWUSER)

    def fill(
        self,
        plan: Plan,
        root_mounts: tuple[Mount, ...],
        staged: tuple[Step, ...],
        *,
        no_pivot: bool,
        new_keyring: bool,
    ) -> None:
        places = tuple(step[1] for step in staged if step[0] == "stage") if self.in_userns else ()
        mounting = Mounting(self.bundle_dir, self.maps, mapped=self.in_userns, rootless=False, places=places)
        mounting.add(self.config, self.found.listed, self.layout, self.path)
        plan["host"] = mounting.host
        if places:
            plan["host"].append(("staged", staged, *self.maps, tuple(mounting.from_stage)))
            staged = ()
        staged = tuple(self._staged(step, plan) for step in staged)
        plan["started"] = self.hooks["poststart"]
        plan["undo"] = list(self.hooks["poststop"])
        if not self.found.listed & CLONE_NEWNS:
            root = field(field(self.config, "root", dict, {}), "path", str, "", "root")
            plan["undo"].insert(0, ("unmount", os.path.join(self.bundle_dir, root)))
        self._cgroups(plan)
        if self.found.new & CLONE_NEWUSER:
            if not all(self.maps):
                raise wrong(
                    "linux.uidMappings", self.linux.get("uidMappings"), "a new user namespace needs mappings"
                )
            plan["attach"].append(("id-map", *self.maps, True))
        plan["attach"] += process.oom_score(self.process)
        plan["hooks"] = self.hooks["prestart"] + self.hooks["createRuntime"]
        plan["child"] = [
            *self._namespaces(new_keyring),
            *self._root(root_mounts, plan),
            *staged,
            *mounting.child,
            *devices.devices(self.linux, bind=self.in_userns or not ids.initial(), fresh=mounting.fresh_dev),
            *devices.links(fresh=mounting.fresh_dev),
            *process.console(self.process, bind=mounting.fresh_dev),
            *self._names(),
            *([("runtime-hooks",)] if plan["hooks"] else []),
            *self.hooks["createContainer"],
            *self._paths(),
            *process.labels(self.process),
            ("pivot", no_pivot) if self.found.listed & CLONE_NEWNS else ("chroot",),
            *self._finish(),
            *process.settings(self.process),
            *self._personality(),
            *process.identity(self.process, self.linux, waiting=self._waiting(plan)),
        ]

    def _cgroups(self, plan: Plan) -> None:
        if self.layout is None:
            return
        resources = field(self.linux, "resources", dict, {}, "linux")
        made = cgroups.compile(self.layout, self.path, resources, cgroups.DEFAULT_RULES)
        plan["host"] = made.host + plan["host"]  # a bind of the group's directory needs it to exist
        plan["tasks"], plan["born"] = made.tasks, made.born
        plan["undo"] = made.undo + plan["undo"]

    def _namespaces(self, new_keyring: bool) -> list[Step]:
        steps: list[Step] = []
        if self.in_userns:
            steps.append(("become-root", True))
        if self.found.new & CLONE_NEWCGROUP:
            steps.append(("unshare", CLONE_NEWCGROUP))
        if self.found.new & CLONE_NEWTIME:
            steps.append(("time-offsets", time_offsets(self.linux)))
        steps.append(("protect",))
        if new_keyring:
            steps.append(("keyring", f"_ses.{self.id}"))
        return steps

    def _propagation(self) -> int:
        word = field(self.linux, "rootfsPropagation", str, "", "linux")
        if not word:
            return 0
        if word not in PROPAGATIONS:
            raise wrong("linux.rootfsPropagation", word, "is not a kind of propagation")
        return PROPAGATIONS[word]

    def _root(self, root_mounts: tuple[Mount, ...], plan: Plan) -> list[Step]:
        root = field(self.config, "root", dict, {})
        path = field(root, "path", str, "", "root")
        if not path:
            raise wrong("root.path", path, "is not a path")
        path = os.path.join(self.bundle_dir, path)
        if not self.found.listed & CLONE_NEWNS:
            return [("host-root", path, root_mounts)]
        if len(root_mounts) == 1 and (root_mounts[0][6] is not None or plans.made_by_program(root_mounts[0])):
            plan["host"].append(("layered", "root", *root_mounts[0]))
            return [("root-slot", "root", self._propagation())]
        return [("root", path, root_mounts, self._propagation())]

    def _staged(self, step: Step, plan: Plan) -> Step:
        """What only the parent may make becomes a slot."""
        if step[0] != "stage" or not plans.made_by_program(step[2]):
            return step
        slot = f"stage-{len(plan['host'])}"
        plan["host"].append(("layered", slot, *step[2]))
        return ("stage-slot", step[1], slot)

    def _names(self) -> list[Step]:
        """Before the hooks, which may look at them; sysctls through the host's verified /proc."""
        steps: list[Step] = []
        hostname = field(self.config, "hostname", str, "")
        if hostname:
            steps.append(("hostname", hostname))
        domainname = field(self.config, "domainname", str, "")
        if domainname:
            steps.append(("domainname", domainname))
        return steps + sysctls.sysctls(self.linux, self.found.listed, hostname)

    def _paths(self) -> list[Step]:
        steps: list[Step] = []
        for step, key in (("readonly", "readonlyPaths"), ("mask", "maskedPaths")):
            paths = strings(self.linux, key, "linux")
            for index, path in enumerate(paths):
                if not path.startswith("/"):
                    raise wrong(f"linux.{key}[{index}]", path, "is not an absolute path")
            if paths:
                steps.append((step, tuple(paths)))
        return steps

    def _finish(self) -> list[Step]:
        steps: list[Step] = []
        propagation = self._propagation()
        if self.found.listed & CLONE_NEWNS and propagation & ~MS_REC not in (0, MS_PRIVATE, MS_SLAVE):
            steps.append(("root-propagation", propagation))
        if field(field(self.config, "root", dict, {}), "readonly", bool, False, "root"):
            steps.append(("root-readonly",))
        return steps

    def _personality(self) -> list[Step]:
        entry = field(self.linux, "personality", dict, {}, "linux")
        if not entry:
            return []
        domain = field(entry, "domain", str, "", "linux.personality")
        if domain not in _PERSONALITIES:
            raise wrong("linux.personality.domain", domain, "is not LINUX or LINUX32")
        if entry.get("flags"):
            raise wrong("linux.personality.flags", entry["flags"], "are none that the specification defines")
        return [("personality", _PERSONALITIES[domain])]

    def _waiting(self, plan: Plan) -> list[Step]:
        waiting: list[Step] = [("wait-start",)] if plan["start_fifo"] else []
        return waiting + self.hooks["startContainer"]
