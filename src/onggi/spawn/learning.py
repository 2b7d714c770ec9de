"""What a container uses, seen from outside: a process that is asked before each of its system calls.

    the container's filter answers "ask" (SECCOMP_RET_USER_NOTIF) where its policy allows
    supervisor: take the listener out of the child (pidfd_getfd(2)), note each call, say "go on"

See seccomp_unotify(2).
The kernel then carries the call out, and decides by itself; what is noted here is advice, and races with
the process (it may change its memory meanwhile). That matters to nobody: a policy too small fails closed.
The supervisor lives as long as a process of the container does; where it is killed, calls fail with ENOSYS.

Which capabilities a call needs is told from the call, its arguments and the caller's ids; for files the
kernel is asked whether the caller could do it without CAP_DAC_OVERRIDE and CAP_FOWNER. Calls of the child
before its first execve need what the engine needs, not what the container does.
Not here: making a policy of it (engine/learned.py).
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import time

from onggi import jsontext
from onggi.kernel import capabilities, files, processes
from onggi.kernel.acting import acting_as

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import NoReturn
else:
    import _signal as signal

RECEIVE, SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV, _SEND
NOTICE = struct.Struct("=QIIiIQ6Q")  # struct seccomp_notif with struct seccomp_data
ANSWER = struct.Struct("=QqiI")  # struct seccomp_notif_resp
GO_ON = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
LINK = "anon_inode:seccomp notify"
WRITE_SECONDS = 1.0
AT_FDCWD = -100
MEMORY_BYTES = 4096
DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER = 1, 2, 3  # linux/capability.h
BITS = {name.removeprefix("CAP_"): bit for bit, name in enumerate(capabilities.NAMES)}
NATIVE = (0xC000003E, 0xC00000B7)  # AUDIT_ARCH_X86_64, _AARCH64: whose calls are looked into

# Calls that need a capability whatever their arguments are.
ALWAYS = {
    "chown": "CHOWN", "lchown": "CHOWN", "fchown": "CHOWN", "fchownat": "CHOWN", "setgroups": "SETGID",
    "chroot": "SYS_CHROOT", "mount": "SYS_ADMIN", "umount2": "SYS_ADMIN", "pivot_root": "SYS_ADMIN",
    "setns": "SYS_ADMIN", "unshare": "SYS_ADMIN", "sethostname": "SYS_ADMIN", "setdomainname": "SYS_ADMIN",
    "fsopen": "SYS_ADMIN", "fsmount": "SYS_ADMIN", "open_tree": "SYS_ADMIN", "move_mount": "SYS_ADMIN",
    "ptrace": "SYS_PTRACE", "process_vm_readv": "SYS_PTRACE", "process_vm_writev": "SYS_PTRACE",
    "settimeofday": "SYS_TIME", "clock_settime": "SYS_TIME", "syslog": "SYSLOG", "reboot": "SYS_BOOT",
    "init_module": "SYS_MODULE", "finit_module": "SYS_MODULE", "delete_module": "SYS_MODULE", "bpf": "BPF",
    "perf_event_open": "PERFMON", "setpriority": "SYS_NICE", "sched_setscheduler": "SYS_NICE",
    "sched_setattr": "SYS_NICE", "mlock": "IPC_LOCK", "mlockall": "IPC_LOCK", "mlock2": "IPC_LOCK",
    "acct": "SYS_PACCT", "vhangup": "SYS_TTY_CONFIG",
}  # fmt: skip
KNOWN = frozenset(
    {*ALWAYS.values(), "SETUID", "SETPCAP", "KILL", "NET_RAW", "NET_BIND_SERVICE", "MKNOD", "SETFCAP"}
    | {"AUDIT_WRITE", "DAC_OVERRIDE", "FOWNER", "FSETID"}
)
# (directory's argument or None, path's, what is done): r, w, x of a file; p: its directory; o: its owner's
PATHS = {
    "creat": (None, 0, "w"), "truncate": (None, 0, "w"), "execve": (None, 0, "x"), "execveat": (0, 1, "x"),
    "mkdir": (None, 0, "p"), "mkdirat": (0, 1, "p"), "rmdir": (None, 0, "p"), "unlink": (None, 0, "p"),
    "unlinkat": (0, 1, "p"), "rename": (None, 0, "p"), "renameat": (0, 1, "p"), "renameat2": (0, 1, "p"),
    "symlink": (None, 1, "p"), "symlinkat": (1, 2, "p"), "link": (None, 1, "p"), "linkat": (2, 3, "p"),
    "mknod": (None, 0, "p"), "mknodat": (0, 1, "p"), "chdir": (None, 0, "x"),
    "stat": (None, 0, ""), "lstat": (None, 0, ""), "newfstatat": (0, 1, ""), "statx": (0, 1, ""),
    "chmod": (None, 0, "o"), "fchmodat": (0, 1, "o"), "fchmodat2": (0, 1, "o"), "utimensat": (0, 1, "o"),
}  # fmt: skip


def begin(pid: int, pidfd: int, path: str, names: dict[int, str]) -> None:
    """Fork the supervisor of a child that is about to load its filter. Only for a single-threaded process.

    `names` are the calls of this machine's architecture by number; what was seen is written to `path`.
    """
    if os.fork() == 0:
        try:
            _supervise(pid, pidfd, path, names)
        finally:  # it did not come to its end: nobody would answer the child, who waits for ever
            processes.pidfd_send_signal(pidfd, signal.SIGKILL)
            os._exit(1)


def _supervise(pid: int, pidfd: int, path: str, names: dict[int, str]) -> NoReturn:
    os.setsid()
    files.close_all_but({0, 1, 2, pidfd})
    listener_fd = _listener(pid, pidfd)
    if listener_fd < 0:
        os._exit(0)  # it ended before it had one
    Supervisor(listener_fd, path, names).run()
    os._exit(0)


def _listener(pid: int, pidfd: int) -> int:
    """The listener out of the child, once it has one; -1 at its end. The child waits in its next call."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    while not poll.poll(0):
        try:
            for name in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{name}") == LINK:
                    return processes.pidfd_getfd(pidfd, int(name))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESRCH, errno.EBADF):
                raise
        select.select([], [], [], 0.0005)
    return -1


class Supervisor:
    """Owns the listener and the file that says what was seen."""

    def __init__(self, listener_fd: int, path: str, names: dict[int, str]) -> None:
        self._fd = listener_fd
        self._file = path
        self._calls: dict[str, set[int]] = {}
        self._capabilities: set[str] = set()
        self._uids: set[int] = set()
        self._executed = False
        self._names = names
        self._asked: set[tuple[object, ...]] = set()
        self._written_at = 0.0
        self._changed = True

    def run(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        buffer = bytearray(NOTICE.size)
        while True:
            events = poll.poll()[0][1]
            if not events & select.POLLIN:
                break  # nobody is left who has the filter
            buffer[:] = bytes(NOTICE.size)
            try:
                fcntl.ioctl(self._fd, RECEIVE, buffer)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINTR):
                    continue  # it was killed while it waited
                raise
            number, pid, _, call, arch, _, *arguments = NOTICE.unpack(buffer)
            try:
                self._note(pid, call, arch, arguments)
            except (OSError, ValueError):
                pass  # it has gone, or its memory is not readable: what cannot be seen is not learned
            try:
                fcntl.ioctl(self._fd, SEND, ANSWER.pack(number, 0, 0, GO_ON))
            except OSError as error:
                if error.errno != errno.ENOENT:
                    raise
            if self._changed and time.monotonic() > self._written_at + WRITE_SECONDS:
                self._write()
        self._write()

    def _write(self) -> None:
        document = {
            "calls": {f"{arch:#x}": sorted(numbers) for arch, numbers in self._calls.items()},
            "capabilities": sorted(self._capabilities),
        }
        partial = f"{self._file}.partial"
        with open(partial, "w") as file:
            file.write(jsontext.dumps(document))
        os.rename(partial, self._file)
        self._written_at, self._changed = time.monotonic(), False

    def _note(self, pid: int, call: int, arch: int, arguments: list[int]) -> None:
        seen = self._calls.setdefault(arch, set())  # type: ignore[arg-type]
        if call not in seen:
            seen.add(call)
            self._changed = True
        name = self._names.get(call, "") if arch in NATIVE else ""
        if not self._executed:
            self._executed = name in ("execve", "execveat")
            return
        needed = self._needs(pid, name, arguments) - self._capabilities
        if needed:
            held = _status(pid)["CapEff"][0]  # who has it not does without
            needed = {one for one in needed if held >> BITS[one] & 1}
            self._capabilities |= needed
            self._changed |= bool(needed)

    def _needs(self, pid: int, name: str, arguments: list[int]) -> set[str]:
        """The capabilities that this call needs, without CAP_."""
        if name in ALWAYS:
            return {ALWAYS[name]} | self._files(pid, name, arguments)
        first, second, third = arguments[:3]
        match name:
            case "setuid" | "setreuid" | "setresuid" | "setfsuid":
                count = {"setreuid": 2, "setresuid": 3}.get(name, 1)
                return {"SETUID"} if self._changes(pid, "Uid", arguments[:count]) else set()
            case "setgid" | "setregid" | "setresgid" | "setfsgid":
                count = {"setregid": 2, "setresgid": 3}.get(name, 1)
                return {"SETGID"} if self._changes(pid, "Gid", arguments[:count]) else set()
            case "prctl":
                return {"SETPCAP"} if first == 24 else set()  # PR_CAPBSET_DROP
            case "kill" | "tkill" | "tgkill" | "rt_sigqueueinfo" | "pidfd_send_signal":
                self._uids.add(_status(pid)["Uid"][1])
                return {"KILL"} if len(self._uids) > 1 else set()
            case "socket":
                raw = first == 17 or (first in (2, 10) and second & 0xF == 3)  # AF_PACKET, SOCK_RAW
                audit = first == 16 and third == 9  # NETLINK_AUDIT
                return {"NET_RAW"} if raw else {"AUDIT_WRITE"} if audit else set()
            case "bind":
                return {"NET_BIND_SERVICE"} if self._low_port(pid, second) else set()
            case "mknod" | "mknodat":
                mode = arguments[1 if name == "mknod" else 2] & 0o170000
                needed = {"MKNOD"} if mode in (0o020000, 0o060000) else set()
                return needed | self._files(pid, name, arguments)
            case "setxattr" | "lsetxattr" | "fsetxattr":
                return {"SETFCAP"} if _text(pid, second) == b"security.capability" else set()
        return self._files(pid, name, arguments)

    def _changes(self, pid: int, key: str, wanted: list[int]) -> bool:
        own = {*_status(pid)[key], 0xFFFFFFFF}
        return any(number & 0xFFFFFFFF not in own for number in wanted)

    def _low_port(self, pid: int, address: int) -> bool:
        data = _memory(pid, address, 4)
        family, port = struct.unpack("=H", data[:2])[0], int.from_bytes(data[2:4], "big")
        if family not in (2, 10) or not port:
            return False
        with open(f"/proc/{pid}/root/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
            return port < int(file.read())

    # --- files

    def _files(self, pid: int, name: str, arguments: list[int]) -> set[str]:
        """What a call on a path needs beside the rights of its caller."""
        if name in ("open", "openat", "openat2"):
            at = 0 if name == "open" else 1
            flags = arguments[at + 1]
            if name == "openat2":
                flags = int.from_bytes(_memory(pid, flags, 8), "little")
            what = ("r", "w", "rw", "")[flags & 3] if not flags & os.O_PATH else ""
            directory, path_at = (None, 0) if name == "open" else (0, 1)
            if flags & os.O_TRUNC:
                what += "w"
            if flags & os.O_CREAT:
                what += "c"
        elif name in PATHS:
            directory, path_at, what = PATHS[name]
        elif name == "fchmod":
            owner = os.stat(f"/proc/{pid}/fd/{arguments[0]}").st_uid
            return {"FOWNER"} if owner != _status(pid)["Uid"][3] else set()
        else:
            return set()
        fd = AT_FDCWD if directory is None else _signed(arguments[directory])
        path = _text(pid, arguments[path_at])
        return self._path(pid, fd, path, what) if path else set()

    def _path(self, pid: int, fd: int, path: bytes, what: str) -> set[str]:
        facts = _status(pid)
        uid, gid, groups = facts["Uid"][3], facts["Gid"][3], tuple(facts["Groups"])
        if not path.startswith(b"/"):
            base = os.readlink(f"/proc/{pid}/cwd" if fd == AT_FDCWD else f"/proc/{pid}/fd/{fd}")
            path = os.fsencode(base) + b"/" + path
        key = (uid, gid, groups, path, what)
        if key in self._asked:
            return set()
        self._asked.add(key)
        if len(self._asked) > 100_000:
            self._asked.clear()
        root_fd = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        before = os.getgroups()
        try:
            os.setgroups(groups)
            with acting_as(uid, gid):
                return _lacking(root_fd, path, what, uid)
        finally:
            os.setgroups(before)
            os.close(root_fd)


def _lacking(root_fd: int, path: bytes, what: str, uid: int) -> set[str]:
    """Ask the kernel as the caller, without the capabilities in question."""
    effective, permitted, inheritable = capabilities.get()
    mask = 1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH | 1 << FOWNER
    capabilities.set_(effective & ~mask, permitted, inheritable)
    try:
        resolve = files.RESOLVE_IN_ROOT | files.RESOLVE_NO_MAGICLINKS
        parent, _, _ = path.rstrip(b"/").rpartition(b"/")
        if "p" in what or "c" in what:
            made = "p" in what or not _is(root_fd, path)
            if made and not _may(root_fd, parent or b"/", os.W_OK | os.X_OK, resolve):
                return {"DAC_OVERRIDE"}
            if "p" in what:
                return set()
        try:
            fd = files.openat2(root_fd, path, os.O_PATH, resolve=resolve)
        except PermissionError:
            return {"DAC_OVERRIDE"}
        except OSError:
            return set()  # it is not there
        try:
            if "o" in what:
                return {"FOWNER"} if os.fstat(fd).st_uid != uid else set()
            mode = ("r" in what) * os.R_OK | ("w" in what) * os.W_OK | ("x" in what) * os.X_OK
            return set() if not mode or files.accessible(fd, mode) else {"DAC_OVERRIDE"}
        finally:
            os.close(fd)
    finally:
        capabilities.set_(effective, permitted, inheritable)


def _may(root_fd: int, path: bytes, mode: int, resolve: int) -> bool:
    try:
        fd = files.openat2(root_fd, path, os.O_PATH, resolve=resolve)
    except PermissionError:
        return False
    except OSError:
        return True  # nothing to be had there
    try:
        return files.accessible(fd, mode)
    finally:
        os.close(fd)


def _is(root_fd: int, path: bytes) -> bool:
    try:
        os.close(files.openat2(root_fd, path, os.O_PATH, resolve=files.RESOLVE_IN_ROOT))
    except OSError:
        return False
    return True


def _signed(number: int) -> int:
    return (number & 0xFFFFFFFF) - ((number & 0x80000000) << 1)


def _status(pid: int) -> dict[str, list[int]]:
    """Uid, Gid (real, effective, saved, of files), Groups and CapEff of a thread: proc_pid_status(5)."""
    found = {}
    with open(f"/proc/{pid}/status", "rb") as file:
        for line in file:
            key, _, rest = line.partition(b":")
            if key in (b"Uid", b"Gid", b"Groups"):
                found[key.decode()] = [int(word) for word in rest.split()]
            elif key == b"CapEff":
                found["CapEff"] = [int(rest, 16)]
    return found


def _memory(pid: int, address: int, size: int) -> bytes:
    fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, size, address)
    finally:
        os.close(fd)


def _text(pid: int, address: int) -> bytes:
    """A NUL-terminated text; a read stops at the end of what is mapped."""
    if not address:
        return b""
    rest = MEMORY_BYTES - address % MEMORY_BYTES
    data = _memory(pid, address, rest)
    if b"\0" not in data:
        data += _memory(pid, address + rest, MEMORY_BYTES)
    return data.partition(b"\0")[0]
