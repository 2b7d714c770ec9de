"""`process`: who the program is, and its execve; for a container's init and for an exec."""

from __future__ import annotations

from onggi.kernel import ids
from onggi.kernel.namespaces import CLONE_NEWNS, CLONE_NEWUSER
from onggi.kernel.processes import RLIMITS
from onggi.runtime import capabilities, cgroups, seccomp
from onggi.runtime.compile.document import field, objects, strings, wrong
from onggi.runtime.compile.namespaces import namespaces
from onggi.spawn import plan as plans
from onggi.spawn.init import TARGET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from onggi.runtime.cgroups.layout import Layout
    from onggi.spawn.plan import Plan, Step

_POLICIES = {
    "SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_ISO": 4, "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}  # fmt: skip
_SCHED_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 1, "SCHED_FLAG_RECLAIM": 2, "SCHED_FLAG_DL_OVERRUN": 4,
    "SCHED_FLAG_KEEP_POLICY": 8, "SCHED_FLAG_KEEP_PARAMS": 16, "SCHED_FLAG_UTIL_CLAMP_MIN": 32,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 64,
}  # fmt: skip
_IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
_SETS = ("effective", "permitted", "inheritable", "bounding", "ambient")


def process(
    document: dict[str, Any],
    *,
    container: dict[str, Any],
    container_id: str,
    init_pid: int,
    layout: Layout | None = None,
    cgroups_path: str = "",
    new_keyring: bool = True,
) -> Plan:
    """The plan of an exec. `container` is the running container's whole document. Raises InvalidParameter."""
    linux = field(container, "linux", dict, {})
    flags = namespaces(linux).listed
    if not flags & CLONE_NEWNS:
        raise wrong("linux.namespaces", linux.get("namespaces"), "has no mount namespace to execute in")
    plan = plans.new(container_id)
    plan["exec_join"] = (init_pid, flags)
    plan["terminal"] = field(document, "terminal", bool, False, "process")
    if layout is not None and cgroups_path:
        plan["tasks"], plan["born"] = cgroups.join(layout, cgroups_path)
    plan["attach"] += oom_score(document)
    child: list[Step] = [("protect",)]
    if flags & CLONE_NEWUSER:
        child.append(("become-root", False))
    if new_keyring:
        child.append(("keyring", f"_ses.{container_id}"))
    child += [("open-root",), *labels(document), *console(document, bind=False), ("close-host",)]
    child += settings(document) + identity(document, linux)
    plan["child"] = child
    return plan


def oom_score(document: dict[str, Any]) -> list[Step]:
    score = field(document, "oomScoreAdj", int, None, "process")
    if score is None:
        return []
    if not -1000 <= score <= 1000:
        raise wrong("process.oomScoreAdj", score, "is not from -1000 to 1000")
    return [("oom-score-adj", score)]


def console(document: dict[str, Any], *, bind: bool) -> list[Step]:
    if not field(document, "terminal", bool, False, "process"):
        return []
    size = field(document, "consoleSize", dict, {}, "process")
    rows = field(size, "height", int, 0, "process.consoleSize")
    columns = field(size, "width", int, 0, "process.consoleSize")
    if not (0 <= rows < 1 << 16 and 0 <= columns < 1 << 16):
        raise wrong("process.consoleSize", size, "is not a window size")
    return [("console", rows, columns, _uid(document), bind)]


def _uid(document: dict[str, Any]) -> int:
    uid: int = field(field(document, "user", dict, {}, "process"), "uid", int, 0, "process.user")
    return uid


def labels(document: dict[str, Any]) -> list[Step]:
    """Labels of an LSM that this machine has not fail when they are written, by name."""
    steps: list[Step] = []
    profile = field(document, "apparmorProfile", str, "", "process")
    if profile and profile != "unconfined":
        steps.append(("label", "apparmor", profile))
    selinux = field(document, "selinuxLabel", str, "", "process")
    if selinux:
        steps.append(("label", "selinux", selinux))
    return steps


def settings(document: dict[str, Any]) -> list[Step]:
    """rlimits, scheduler, I/O priority."""
    steps: list[Step] = []
    seen = set()
    for index, entry in enumerate(objects(document, "rlimits", "process")):
        where = f"process.rlimits[{index}]"
        name = field(entry, "type", str, "", where)
        if name not in RLIMITS:
            raise wrong(f"{where}.type", name, "is not a resource limit")
        if name in seen:
            raise wrong(f"{where}.type", name, "is listed twice")
        seen.add(name)
        soft, hard = field(entry, "soft", int, 0, where), field(entry, "hard", int, 0, where)
        if not 0 <= soft <= hard < 1 << 64:
            raise wrong(where, entry, "needs 0 <= soft <= hard")
        steps.append(("rlimit", name, RLIMITS[name], soft, hard))
    return steps + _scheduler(document) + _io_priority(document)


def _scheduler(document: dict[str, Any]) -> list[Step]:
    entry = field(document, "scheduler", dict, {}, "process")
    if not entry:
        return []
    where = "process.scheduler"
    policy = field(entry, "policy", str, "", where)
    if policy not in _POLICIES:
        raise wrong(f"{where}.policy", policy, "is not a scheduling policy")
    flags = 0
    for word in strings(entry, "flags", where):
        if word not in _SCHED_FLAGS:
            raise wrong(f"{where}.flags", word, "is not a scheduler flag")
        flags |= _SCHED_FLAGS[word]
    numbers = [field(entry, key, int, 0, where) for key in ("nice", "priority")]
    times = [field(entry, key, int, 0, where) for key in ("runtime", "deadline", "period")]
    return [("scheduler", _POLICIES[policy], *numbers, flags, *times)]


def _io_priority(document: dict[str, Any]) -> list[Step]:
    entry = field(document, "ioPriority", dict, {}, "process")
    if not entry:
        return []
    klass = field(entry, "class", str, "", "process.ioPriority")
    if klass not in _IO_CLASSES:
        raise wrong("process.ioPriority.class", klass, "is not an I/O class")
    priority = field(entry, "priority", int, 0, "process.ioPriority")
    if not 0 <= priority <= 7:
        raise wrong("process.ioPriority.priority", priority, "is not from 0 to 7")
    return [("io-priority", _IO_CLASSES[klass], priority)]


def identity(
    document: dict[str, Any], linux: dict[str, Any], *, waiting: list[Step] | None = None
) -> list[Step]:
    """From the working directory to execve; `waiting` are the steps between created and started of a
    container's first process, None of any other. The first one's directory is made, as runc does.

    Without no_new_privs a filter needs CAP_SYS_ADMIN, so it is loaded before capabilities are given up; with
    it, last of all, so that it sees nothing but execve.
    """
    args, env = strings(document, "args", "process"), strings(document, "env", "process")
    if not args:
        raise wrong("process.args", args, "must not be empty")
    directory = field(document, "cwd", str, "/", "process")
    if not directory.startswith("/"):
        raise wrong("process.cwd", directory, "is not an absolute path")
    no_new_privs = field(document, "noNewPrivileges", bool, False, "process")
    early: list[Step] = [("cwd", directory, waiting is not None)]
    if not any(item.startswith("HOME=") for item in env):
        early.insert(0, ("home", _uid(document)))
    late: list[Step] = []
    profile = field(linux, "seccomp", dict, None, "linux")
    if profile:
        if profile.get("listenerPath"):
            raise wrong("linux.seccomp.listenerPath", profile["listenerPath"], "is not supported")
        made = seccomp.compile(profile)
        (late if no_new_privs else early).append(("seccomp", made.program, made.flags))
    steps = early + _credentials(document)
    if no_new_privs:
        steps.append(("no-new-privs",))
    looked_up = args[0]
    if args[0] == TARGET and len(args) > 2 and args[1] == "--":
        looked_up = args[2]  # the reaper is given the program's path (spawn/init.py)
    return [*steps, ("find", looked_up), *(waiting or []), *late, ("exec", tuple(args), tuple(env))]


def _credentials(document: dict[str, Any]) -> list[Step]:
    user = field(document, "user", dict, {}, "process")
    uid, gid = field(user, "uid", int, 0, "process.user"), field(user, "gid", int, 0, "process.user")
    groups = field(user, "additionalGids", list, [], "process.user")
    for number in (uid, gid, *groups):
        if not isinstance(number, int) or not 0 <= number < (1 << 32) - 1:
            raise wrong("process.user", number, "is not a user or group id")
    mask = field(user, "umask", int, None, "process.user")
    wanted = field(document, "capabilities", dict, None, "process")
    steps: list[Step] = []
    sets = dict.fromkeys(_SETS, 0)
    if wanted is not None:
        for name in _SETS:
            sets[name] = capabilities.mask(strings(wanted, name, "process.capabilities"))
    steps.append(("bounding", sets["bounding"]))
    steps.append(("user", uid, gid, None if ids.groups_denied() else tuple(groups)))
    rest = (sets["effective"], sets["permitted"], sets["inheritable"], sets["ambient"])
    steps.append(("capabilities", *rest))
    steps.append(("umask", 0o022 if mask is None else mask & 0o777))
    return steps
