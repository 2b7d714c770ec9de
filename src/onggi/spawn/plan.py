"""The plan: the flat, marshal-able program that turns a forked child into a container's process.

A plan is a dict of builtins (`marshal.dumps` carries it from daemon to shim); a step is a tuple of its
name and
its arguments. It is compiled by runtime/compile, executed by spawn/launch.py, and decides nothing on the way.

    id          container id
    clone       CLONE_NEW* of the clone itself (not cgroup and time: those are steps, after membership is set)
    join        [(path, CLONE_NEW*)]  namespaces of others, opened by the parent
    host        [step]   parent, before the clone
    tasks       [path]   files of version 1 cgroups, into which the first process writes itself at once
    born        path of a version 2 cgroup's directory, or "": the first process is made in it
    attach      [step]   parent, when the child exists; the child waits
    hooks       [step]   parent, when the child reaches the step "runtime-hooks"
    child       [step]   child, in order; the last one is "exec"
    started     [step]   parent, after execve (poststart hooks)
    undo        [step]   parent, after init's end, or after a failure: every step is tried
    terminal    bool     the parent gets the master of a pty of the container
    start_fifo  path of a fifo or None: the child waits there before execve
    exec_join   None, or (init_pid, CLONE_NEW*): this plan runs inside a running container (spawn/join.py)
    learn       where it is there: (path, names of calls by number), of spawn/learning.py
    runtime     where another OCI runtime does it (spawn/foreign.py): its command line up to the verb; then
                place (the directory on which the bundle lies), document (bytes of config.json or
                process.json), trees [(slot, path in the bundle, whether
                all of it is read-only)]; of the steps only host and undo count
    warnings    [str]    what the document asked for and this machine cannot grant (OCI says: warn)

Steps of the parent (spawn/host.py)
    mkdir path                         a directory; may exist
    write path text                    one write(2)
    unmount path                       with all that is below it; may be gone
    rmdir path                         may be gone; waits a little while a cgroup still empties
    id-map uid_map gid_map groups      /proc/PID/uid_map and gid_map; `groups` false: setgroups denied first
    oom-score-adj n                    /proc/PID/oom_score_adj
    tree slot source recursive uid_map gid_map below   a detached, where maps are given idmapped, copy of
    a mount, or of what is `below` it
    staged steps uid_map gid_map wanted   "stage" and "secret-file" where the container has id maps; the trees
                                       that are wanted of them: (slot, source, recursive, below)
    own-stdio uid gid                  pipes on stdio become the property of these ids of the host
    layered slot MOUNT                 a detached tree that only the parent may make: overlay, mapped layers,
                                       what a program serves
    hook kind path args env timeout before after   state on stdin: before + pid + after (timeout in s, 0:
    none)
    runtime args                       a command line of another OCI runtime, which must succeed
    cgroup-device path program         a BPF device program onto a version 2 cgroup
Steps of the child before the pivot (spawn/mounting.py, spawn/nodes.py)
    become-root                        uid and gid 0 of the new user namespace
    unshare flags                      CLONE_NEWCGROUP, when membership is set
    time-offsets text                  a time namespace with these lines of timens_offsets
    open-root                          the root of an exec is the one it has joined
    protect                            not dumpable: /proc/PID of this interpreter is closed to the container
    keyring name                       a session keyring of its own
    host-root path mounts              the root of a container without a mount namespace
    root-slot slot propagation         the root: the tree that the step "layered" made
    root path mounts propagation       the root: mounts (target "/") on path, else path bound onto itself
    stage path MOUNT                   one mount, on a directory of the host's tree as we alone see it
    stage-slot path slot               the same with the tree that the step "layered" made
    secret-file path data mode uid gid a new file in a staged tmpfs; its bytes are on no disk
    mount MOUNT                        one mount, below the root
    mount-slot slot MOUNT              the same with the detached copy that the step "tree" or "keep" made
    keep slot path                     a detached copy of a directory of the root (made where missing), to be
                                       shown again when a mount has covered it
    mount-readonly path                a mount that was filled becomes read-only
    link text path                     a symbolic link; an existing name stays
    node path mode device uid gid      a device node; bound from the host's where mknod is refused
    bind-node source path mode device  always bound
    console                            a pty of the container's own devpts, onto /dev/console and stdio
    readonly path...                   the subtree of each path read-only; missing ones are skipped
    mask path...                       files hidden by /dev/null, directories by an empty read-only tmpfs
    sysctl path value                  below /proc/sys of a verified procfs
    runtime-hooks                      the parent runs `hooks` now
    hook ...                           as above, in the container's namespaces
    pivot no_pivot                     the root becomes /; every descriptor of the host is closed
    chroot                             the same without a mount namespace of its own
    close-host                         the same closing, for an exec
Steps of the child after it (spawn/identity.py)
    root-readonly · root-propagation MS_*
    hostname name · domainname name
    rlimit name number soft hard
    scheduler policy nice priority flags runtime deadline period · io-priority class priority · personality n
    label lsm text                     AppArmor or SELinux label of the next execve
    home uid                           HOME by /etc/passwd inside, for an environment without one
    cwd path make                      entered inside the root; with `make` made where missing
    bounding mask                      drops the rest
    user uid gid groups                the permitted set is kept until the next step
    capabilities effective permitted inheritable ambient
    umask mode · no-new-privs · seccomp program flags
    find name                          the executable, by PATH of `exec`'s environment
    wait-start                         tells the parent, then waits at start_fifo
    exec args env
"""

from __future__ import annotations

import errno as _errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Step = tuple[Any, ...]
    Plan = dict[str, Any]
    Mount = tuple[str, str, str, int, str, int, tuple[str, str] | None, int]

# `extra` of a mount: attributes (MOUNT_ATTR_*) for the whole subtree, and what has no MS_ flag
EXTRA_RECURSIVE_SET = 0  # shift: bits 0-23
EXTRA_RECURSIVE_CLEAR = 24
EXTRA_CLEAR = 48  # attributes to clear on this mount alone
EXTRA_TMPCOPYUP = 1 << 72
EXTRA_RECURSIVE_IDMAP = 1 << 73

SUBDIR = "X-mount.subdir="  # mount(8)'s word
PROGRAM = "fuse-overlayfs"  # an option of an overlay: by this program (its path), not by the kernel


def parted(each: Mount) -> tuple[Mount, str]:
    """A mount of the whole, and the directory in it that alone is wanted (SUBDIR), or nothing."""
    data, _, below = each[4].partition(SUBDIR)
    return (*each[:4], data.rstrip(","), *each[5:]), below


def made_by_program(each: Mount) -> bool:
    """Only the parent of a container, or whoever else stays outside, may make it: fuse.py."""
    words = parted(each)[0][4]
    at = words.rfind(f",{PROGRAM}=")
    return each[2] == "overlay" and at > 0 and words[at - 1] != "\\"  # else it is a part of a path


def mount(
    source: str,
    target: str,
    fstype: str,
    flags: int = 0,
    data: str = "",
    *,
    propagation: int = 0,
    idmap: tuple[str, str] | None = None,
    extra: int = 0,
) -> Mount:
    """A mount. `target` is absolute inside the container; `flags` and `propagation` are MS_* of mount(2).

    fstype "bind" has a host path as source (MS_REC in flags: with everything below it). `data` are the file
    system's own options, joined by commas; in overlay's `lowerdir` a backslash protects `,` and `:`.
    `data` of a bind and of an overlay may end in SUBDIR and a path: that directory alone is mounted, looked
    up as if the source were the root.
    `idmap` is (uid_map, gid_map) in the form of /proc/PID/uid_map.
    """
    return (source, target, fstype, flags, data, propagation, idmap, extra)


class StepFailed(Exception):
    """A step of a plan failed: its name, the argument (path or value), errno, and a sentence.

    `exit_code` is what Docker's command line exits with: 127 where the command was not found, 126 where it
    cannot be executed, else 125.
    """

    def __init__(self, step: str, argument: str, errno: int, text: str) -> None:
        super().__init__(text)
        self.step = step
        self.argument = argument
        self.errno = errno
        self.text = text

    @property
    def exit_code(self) -> int:
        if self.step not in ("find", "exec"):
            return 125
        return 127 if self.errno in (_errno.ENOENT, _errno.ENOTDIR) else 126


class Launched:
    """A started process. The caller owns both descriptors.

    `console_fd` is the master of the container's pty where the plan has a terminal, else None.
    `warnings` are failures that do not stop a container (poststart hooks).
    """

    __slots__ = ("console_fd", "helper", "pid", "pidfd", "warnings")

    def __init__(
        self, pid: int, pidfd: int, console_fd: int | None, warnings: list[str], helper: int = 0
    ) -> None:
        self.helper = helper  # of a launch as sibling: another ended child of the caller's parent, or 0
        self.pid = pid
        self.pidfd = pidfd
        self.console_fd = console_fd
        self.warnings = warnings


def new(container_id: str) -> Plan:
    """An empty plan, every key present."""
    return {
        "id": container_id,
        "clone": 0,
        "join": [],
        "host": [],
        "tasks": [],
        "born": "",
        "attach": [],
        "hooks": [],
        "child": [],
        "started": [],
        "undo": [],
        "terminal": False,
        "start_fifo": None,
        "exec_join": None,
        "warnings": [],
    }


def describe(plan: Plan) -> str:
    """The plan as text, one step a line: what `onggi-runtime` prints where it is asked what it would do."""
    lines = [f"clone {plan['clone']:#x}"]
    lines += [f"join {path} {flag:#x}" for path, flag in plan["join"]]
    lines += [f"tasks: {path}" for path in plan["tasks"]]
    lines += [f"born: {plan['born']}"] if plan["born"] else []
    for part in ("host", "attach", "hooks", "child", "started", "undo"):
        lines += [f"{part}: {describe_step(step)}" for step in plan[part]]
    return "\n".join(lines) + "\n"


def describe_step(step: Step) -> str:
    return " ".join([step[0], *(_short(argument) for argument in step[1:])])


def _short(argument: object) -> str:
    if isinstance(argument, bytes):
        return f"<{len(argument)} bytes>"
    return repr(argument)
