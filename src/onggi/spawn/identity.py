"""Steps of the child that decide who the process is: names, limits, scheduling, user, capabilities,
seccomp."""

from __future__ import annotations

import errno
import os
import stat

from onggi.kernel import capabilities, files, processes, seccomp
from onggi.kernel import namespaces as _namespaces
from onggi.spawn import inside
from onggi.spawn.state import Child

PASSWD_BYTES = 1 << 20


def become_root(_: Child, groups: bool) -> None:
    processes.setresgid(0)
    processes.setresuid(0)
    if groups:
        processes.setgroups([])


def unshare(_: Child, flags: int) -> None:
    _namespaces.unshare(flags)


def time_offsets(child: Child, text: str) -> None:
    """A time namespace: offsets are set while it has no process, then it is entered (time_namespaces(7))."""
    _namespaces.unshare(_namespaces.CLONE_NEWTIME)
    if text:
        child.write_proc("self/timens_offsets", text)
    fd = os.open("/proc/self/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC)
    _namespaces.setns(fd, _namespaces.CLONE_NEWTIME)
    os.close(fd)


def protect(_: Child) -> None:
    processes.set_dumpable(dumpable=False)


def keyring(_: Child, name: str) -> None:
    """A session keyring of its own, which the container's owner may search."""
    try:
        serial = processes.join_session_keyring(name)
    except OSError as error:
        if error.errno == errno.ENOSYS:  # a kernel without keys, or a filter that hides them
            return
        raise
    permissions = int(processes.describe_key(serial).split(";")[3], 16)
    processes.set_key_permissions(serial, permissions | 0x00080000)  # KEY_USR_SEARCH


def sysctl(child: Child, path: str, value: str) -> None:
    child.write_proc("sys/" + path, value)


def hostname(_: Child, name: str) -> None:
    processes.sethostname(name)


def domainname(_: Child, name: str) -> None:
    processes.setdomainname(name)


def rlimit(_: Child, name: str, number: int, soft: int, hard: int) -> None:
    try:
        processes.prlimit(0, number, (soft, hard))
    except PermissionError:
        limit = processes.prlimit(0, number)[1]
        text = f"hard limit {hard} is above this machine's {limit}, and raising it needs CAP_SYS_RESOURCE"
        raise OSError(errno.EPERM, text, name) from None


def scheduler(
    _: Child, policy: int, nice: int, priority: int, flags: int, runtime: int, deadline: int, period: int
) -> None:
    processes.sched_setattr(
        policy, nice=nice, priority=priority, flags=flags, runtime=runtime, deadline=deadline, period=period
    )


def io_priority(_: Child, klass: int, priority: int) -> None:
    processes.ioprio_set(klass, priority)


def personality(_: Child, persona: int) -> None:
    processes.personality(persona)


def label(child: Child, lsm: str, text: str) -> None:
    """The security label of the next execve; written before the pivot, through the host's /proc."""
    try:
        if lsm == "apparmor":
            own = _exists(child, "self/attr/apparmor")  # since Linux 5.8; ENOENT of a write: no such profile
            child.write_proc("self/attr/apparmor/exec" if own else "self/attr/exec", f"exec {text}")
        else:
            child.write_proc("self/attr/exec", text)
    except OSError as error:
        raise OSError(error.errno, error.strerror, text) from None


def _exists(child: Child, path: str) -> bool:
    try:
        os.stat(path, dir_fd=child.open_proc())
    except FileNotFoundError:
        return False
    return True


def home(child: Child, uid: int) -> None:
    """HOME for a process that is given none, by the /etc/passwd inside; "/" where that does not tell.

    As runc has it (libcontainer, prepareEnv). The file is the image's: read to a bound, and not waited for.
    """
    child.home = "/"
    try:
        fd = os.open("/etc/passwd", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        text = os.read(fd, PASSWD_BYTES) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    except OSError:
        text = b""
    finally:
        os.close(fd)
    wanted = str(uid).encode()
    for line in text.split(b"\n"):
        fields = line.split(b":")
        if len(fields) == 7 and fields[2] == wanted:
            child.home = os.fsdecode(fields[5]) or "/"
            return


def cwd(_: Child, path: str, make: bool) -> None:
    """Enter the working directory; it must be inside the root (CVE-2024-21626)."""
    root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = files.openat2(root_fd, path, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        if not make:
            raise
        fd = inside.make_directory(root_fd, path)
    os.close(root_fd)
    os.fchdir(fd)
    os.close(fd)
    try:
        here = os.getcwd()
    except FileNotFoundError:
        here = ""
    if not here.startswith("/"):
        raise OSError(
            errno.EPERM, "current working directory is outside of container mount namespace root", path
        )


def bounding(_: Child, mask: int) -> None:
    capabilities.drop_bounding(mask)


def user(_: Child, uid: int, gid: int, groups: tuple[int, ...] | None) -> None:
    """Change the user; the permitted set is kept, and stdio given to him (proc(5): /proc/self/fd/N is
    opened anew)."""
    if uid:
        _give_stdio(uid)
    processes.keep_capabilities(keep=True)
    if groups is not None:
        processes.setgroups(groups)
    processes.setresgid(gid)
    processes.setresuid(uid)


def _give_stdio(uid: int) -> None:
    null = os.makedev(1, 3)
    for fd in (0, 1, 2):
        found = os.fstat(fd)
        if found.st_uid == uid or found.st_rdev == null:
            continue
        try:
            os.fchown(fd, uid, -1)
        except OSError as error:
            # not every descriptor has an owner that can be changed: sockets, read-only and foreign file
            # systems
            if error.errno not in (errno.EINVAL, errno.EPERM, errno.EROFS):
                raise


def set_capabilities(_: Child, effective: int, permitted: int, inheritable: int, ambient: int) -> None:
    """The last four sets, cut down to what we may grant."""
    mine = capabilities.get()[1]
    limit = mine & permitted
    capabilities.set_(effective & limit, limit, inheritable & mine)
    processes.keep_capabilities(keep=False)
    capabilities.set_ambient(ambient & limit & inheritable)


def umask(_: Child, mode: int) -> None:
    os.umask(mode)


def no_new_privs(_: Child) -> None:
    processes.set_no_new_privs()


def load_seccomp(_: Child, program: bytes, flags: int) -> None:
    seccomp.load(program, flags)
