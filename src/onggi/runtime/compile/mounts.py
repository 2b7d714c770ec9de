"""`mounts`: every option of the specification's table (config.md, Linux mount options), and cgroup mounts."""

from __future__ import annotations

import os

from onggi.kernel import mounts as k
from onggi.kernel.namespaces import CLONE_NEWCGROUP
from onggi.runtime.compile.document import field, objects, strings, wrong
from onggi.runtime.compile.namespaces import id_map
from onggi.spawn.plan import (
    EXTRA_CLEAR,
    EXTRA_RECURSIVE_CLEAR,
    EXTRA_RECURSIVE_IDMAP,
    EXTRA_TMPCOPYUP,
    SUBDIR,
    made_by_program,
    mount,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.runtime.cgroups.layout import Layout
    from onggi.spawn.plan import Mount, Step

_SET = {
    "ro": k.MS_RDONLY, "nosuid": k.MS_NOSUID, "nodev": k.MS_NODEV, "noexec": k.MS_NOEXEC,
    "sync": k.MS_SYNCHRONOUS,
    "dirsync": k.MS_DIRSYNC, "mand": k.MS_MANDLOCK, "noatime": k.MS_NOATIME, "nodiratime": k.MS_NODIRATIME,
    "relatime": k.MS_RELATIME, "strictatime": k.MS_STRICTATIME, "lazytime": k.MS_LAZYTIME,
    "nosymfollow": k.MS_NOSYMFOLLOW, "iversion": k.MS_I_VERSION, "silent": k.MS_SILENT, "bind": k.MS_BIND,
    "rbind": k.MS_BIND | k.MS_REC, "remount": k.MS_REMOUNT, "defaults": 0, "acl": 0,
}  # fmt: skip
_CLEAR = {
    "rw": k.MS_RDONLY, "suid": k.MS_NOSUID, "dev": k.MS_NODEV, "exec": k.MS_NOEXEC, "async": k.MS_SYNCHRONOUS,
    "nomand": k.MS_MANDLOCK, "atime": k.MS_NOATIME, "diratime": k.MS_NODIRATIME, "norelatime": k.MS_RELATIME,
    "nostrictatime": k.MS_STRICTATIME, "nolazytime": k.MS_LAZYTIME, "symfollow": k.MS_NOSYMFOLLOW,
    "noiversion": k.MS_I_VERSION, "loud": k.MS_SILENT,
}  # fmt: skip
PROPAGATIONS = {
    "private": k.MS_PRIVATE, "slave": k.MS_SLAVE, "shared": k.MS_SHARED, "unbindable": k.MS_UNBINDABLE,
    "rprivate": k.MS_PRIVATE | k.MS_REC, "rslave": k.MS_SLAVE | k.MS_REC, "rshared": k.MS_SHARED | k.MS_REC,
    "runbindable": k.MS_UNBINDABLE | k.MS_REC,
}  # fmt: skip
_ATTRIBUTE = {
    "ro": k.MOUNT_ATTR_RDONLY, "nosuid": k.MOUNT_ATTR_NOSUID, "nodev": k.MOUNT_ATTR_NODEV,
    "noexec": k.MOUNT_ATTR_NOEXEC, "nodiratime": k.MOUNT_ATTR_NODIRATIME,
    "nosymfollow": k.MOUNT_ATTR_NOSYMFOLLOW,
}  # fmt: skip
_ATTRIBUTE_CLEAR = {
    "rw": "ro", "suid": "nosuid", "dev": "nodev", "exec": "noexec", "diratime": "nodiratime",
    "symfollow": "nosymfollow",
}  # fmt: skip
_ATIME = {"noatime": k.MOUNT_ATTR_NOATIME, "strictatime": k.MOUNT_ATTR_STRICTATIME, "relatime": 0, "atime": 0}


# A directory below a mount's target that goes on showing what was there before; a word of ours.
KEEP = "X-onggi.keep="


class _Options:
    """One mount's options, sorted by what they are."""

    def __init__(self, words: list[str]) -> None:
        self.flags = self.clear = self.propagation = self.extra = 0
        self.recursive_idmap = self.idmap = False
        self.data: list[str] = []
        self.below = ""
        for word in words:
            self._take(word)

    def _take(self, word: str) -> None:
        if word in _SET:
            self.flags |= _SET[word]
            if word in _ATTRIBUTE:
                self.clear &= ~_ATTRIBUTE[word]
        elif word in _CLEAR:
            self.flags &= ~_CLEAR[word]
            if word in _ATTRIBUTE_CLEAR:
                self.clear |= _ATTRIBUTE[_ATTRIBUTE_CLEAR[word]]
        elif word in PROPAGATIONS:
            self.propagation |= PROPAGATIONS[word]
        elif word == "tmpcopyup":
            self.extra |= EXTRA_TMPCOPYUP
        elif word in ("idmap", "ridmap"):
            self.idmap = True
            self.recursive_idmap |= word == "ridmap"
        elif word[:1] == "r" and self._take_recursive(word[1:]):
            pass
        elif word.startswith(SUBDIR):
            self.below = word[len(SUBDIR) :].strip("/")
        elif word.startswith(KEEP):
            pass  # its own step, before the mount
        else:
            self.data.append(word)

    def _take_recursive(self, word: str) -> bool:
        if word in _ATTRIBUTE:
            self.extra |= _ATTRIBUTE[word]
        elif word in _ATTRIBUTE_CLEAR:
            self.extra |= _ATTRIBUTE[_ATTRIBUTE_CLEAR[word]] << EXTRA_RECURSIVE_CLEAR
        elif word in _ATIME:
            self.extra |= _ATIME[word] | k.MOUNT_ATTR__ATIME << EXTRA_RECURSIVE_CLEAR
        else:
            return False
        return True


def parse(entry: dict[str, Any], where: str, bundle_dir: str) -> Mount:
    """One entry of `mounts`. Raises InvalidParameter."""
    target = field(entry, "destination", str, "", where)
    if not target.startswith("/"):
        target = "/" + target  # relative to "/" (config.md: SHOULD be absolute)
    options = _Options(strings(entry, "options", where))
    fstype = field(entry, "type", str, "", where)
    source = field(entry, "source", str, "", where)
    extra = options.extra
    if options.flags & k.MS_BIND or fstype in ("bind", "rbind"):
        if not source:
            raise wrong(f"{where}.source", source, "is not a path")
        if not source.startswith("/"):
            source = os.path.join(bundle_dir, source)
        options.data.clear()  # mount(2): a bind has no options of a file system; runc lets them pass, too
        if fstype == "rbind":
            options.flags |= k.MS_REC
        fstype = "bind"
        extra |= options.clear << EXTRA_CLEAR
    elif not fstype:
        raise wrong(f"{where}.type", fstype, "is not a file system")
    if options.flags & k.MS_REMOUNT:
        raise wrong(f"{where}.options", "remount", "cannot be used for a mount of a container")
    return mount(
        source,
        target,
        fstype,
        options.flags & ~k.MS_BIND,
        ",".join([*options.data, f"{SUBDIR}{options.below}"] if options.below else options.data),
        propagation=options.propagation,
        idmap=_idmap(entry, options, fstype, where),
        extra=extra | (EXTRA_RECURSIVE_IDMAP if options.recursive_idmap else 0),
    )


def _idmap(entry: dict[str, Any], options: _Options, fstype: str, where: str) -> tuple[str, str] | None:
    uid_map, gid_map = id_map(entry, "uidMappings", where), id_map(entry, "gidMappings", where)
    if not uid_map and not gid_map:
        if options.idmap:
            if fstype != "bind":
                raise wrong(where, fstype, "cannot be idmapped: only bind mounts can")
            return ("", "")  # the container's own
        return None
    if not uid_map or not gid_map:
        raise wrong(where, entry, "needs both uidMappings and gidMappings")
    if fstype not in ("bind", "overlay"):
        raise wrong(where, fstype, "cannot be idmapped: only bind mounts and layers can")
    return uid_map, gid_map


# File systems whose files the kernel labels by itself, or that take no label at mount(2), as in runc.
_UNLABELLED = frozenset(("bind", "cgroup", "cgroup2", "mqueue", "proc", "sysfs"))


def _labelled(each: Mount, label: str) -> Mount:
    """`linux.mountLabel` as the mount option `context=` (mount(8)); a kernel without SELinux refuses it."""
    if not label or each[2] in _UNLABELLED:
        return each
    context = f'context="{label}"'
    return (*each[:4], f"{each[4]},{context}" if each[4] else context, *each[5:])


class Mounting:
    """Steps for `mounts`: `host` for what only the parent may make, `child` for the rest."""

    def __init__(
        self,
        bundle_dir: str,
        own_maps: tuple[str, str],
        *,
        mapped: bool,
        rootless: bool,
        places: tuple[str, ...] = (),
    ) -> None:
        self.bundle_dir = bundle_dir
        self.own_maps = own_maps
        self.from_host = mapped
        self.rootless = rootless
        self.places = places  # where the parent stages sources of binds, in a helper's mount namespace
        self.from_stage: list[tuple[str, str, bool, str]] = []
        self.host: list[Step] = []
        self.child: list[Step] = []
        self.fresh_dev = False
        self.targets: set[str] = set()

    def add(self, config: dict[str, Any], namespaces: int, layout: Layout | None, path: str) -> None:
        label = field(field(config, "linux", dict, {}), "mountLabel", str, "", "linux")
        if '"' in label:
            raise wrong("linux.mountLabel", label, "has a quotation mark")
        for index, entry in enumerate(objects(config, "mounts")):
            each = _labelled(parse(entry, f"mounts[{index}]", self.bundle_dir), label)
            target = os.path.normpath(each[1])
            self.targets.add(target)
            kept = self._keep(strings(entry, "options", f"mounts[{index}]"), target)
            if target == "/dev":
                self.fresh_dev = each[2] != "bind"
            if each[2] in ("cgroup", "cgroup2"):
                self.child += _cgroup(each, namespaces, layout, path)
            elif each[2] == "bind" and (self.from_host or each[6] is not None):
                self._by_slot(each, f"mounts[{index}]")
            elif (each[2] == "overlay" and self.from_host) or made_by_program(each):
                slot = f"mount-{len(self.host)}"
                self.host.append(("layered", slot, *each))
                self.child.append(("mount-slot", slot, each))
            else:
                self.child.append(("mount", *each))
            self.child += [("mount-slot", slot, mount("", path, "bind")) for slot, path in kept]

    def _keep(self, words: list[str], target: str) -> list[tuple[str, str]]:
        """Steps that hold what KEEP names before the mount covers it; (slot, path) of each."""
        kept = []
        for word in words:
            if word.startswith(KEEP):
                path = os.path.normpath(f"{target}/{word[len(KEEP) :].lstrip('/')}")
                if not path.startswith(target.rstrip("/") + "/"):
                    raise wrong(f"mounts: {target}", word, "is not a directory below the mount")
                kept.append((f"kept-{path}", path))
                self.child.append(("keep", *kept[-1]))
        return kept

    def _by_slot(self, each: Mount, where: str) -> None:
        """The parent takes the tree: it may read the source, and idmap file systems that it owns."""
        if any(each[0] == place or each[0].startswith(f"{place}/") for place in self.places):
            slot = f"staged-{len(self.from_stage)}"
            below = each[4].partition(SUBDIR)[2]
            self.from_stage.append((slot, each[0], bool(each[3] & k.MS_REC), below))
            self.child.append(("mount-slot", slot, each))
            return
        slot = f"mount-{len(self.host)}"
        maps = each[6]
        if maps == ("", ""):
            maps = self.own_maps
            if not maps[0]:
                raise wrong(where, "idmap", "needs uidMappings, or a user namespace with some")
        uid_map, gid_map = maps or ("", "")
        recursive = bool(each[3] & k.MS_REC)
        self.host.append(("tree", slot, each[0], recursive, uid_map, gid_map, each[4].partition(SUBDIR)[2]))
        self.child.append(("mount-slot", slot, each))


def _cgroup(each: Mount, namespaces: int, layout: Layout | None, path: str) -> list[Step]:
    """/sys/fs/cgroup: the container's own part of each hierarchy, in a namespace or by binds."""
    _, target, _, flags, _, propagation, _, _ = each
    private = bool(namespaces & CLONE_NEWCGROUP)
    if layout is not None and layout.mode == "none":
        return [
            (
                "mount",
                *mount(
                    "tmpfs", target, "tmpfs", flags | k.MS_RDONLY, "mode=755,size=0", propagation=propagation
                ),
            )
        ]
    if layout is None or layout.mode == "v2":
        if private or layout is None:
            return [("mount", *mount("cgroup", target, "cgroup2", flags, propagation=propagation))]
        return [("mount", *mount(f"{layout.unified}{path}", target, "bind", flags, propagation=propagation))]
    steps: list[Step] = [
        ("mount", *mount("tmpfs", target, "tmpfs", flags & ~k.MS_RDONLY, "mode=755", propagation=propagation))
    ]
    for root in layout.v1_roots():
        name = os.path.basename(root)
        words = [controller for controller, where in layout.v1.items() if where == root]
        place = f"{target}/{name}"
        if private:
            data = ",".join(["none", *words] if words[0].startswith("name=") else words)
            steps.append(("mount", *mount("cgroup", place, "cgroup", flags, data)))
        else:
            steps.append(("mount", *mount(root + path, place, "bind", flags)))
        steps += [("link", name, f"{target}/{word}") for word in words if word != name and "=" not in word]
    if flags & k.MS_RDONLY:
        steps.append(("mount-readonly", target))
    return steps
