"""A container, or a process in one, started by another OCI runtime: runc, crun, runsc, ... (runc(8)).

    launcher                                                   RUNTIME
    host steps: trees of the root, of mounts that OCI has no words for
    a mount namespace of its own; a tmpfs on `place`, in it:
        config.json, rootfs, mounts/N, console.sock, log.json
    create --bundle place --pid-file place/pid ID -----------> init, which waits; our shim's child when
    <--------------------------------------------------------- `create` has ended (PR_SET_CHILD_SUBREAPER)
    cgroup watched, state written
    start ID ------------------------------------------------> execve

The bundle is seen by the launcher, the runtime's process and nobody else: no path of the host's leads there,
what is secret in it is on no disk, and it ends with the launcher. The container keeps its mounts.
`place` is one empty directory for all.

What the runtime says of a failure it writes to --log; the errors there are what is told.
"""

from __future__ import annotations

import _socket
import os
import stat
import sys

from onggi import failpoints
from onggi.jsontext import loads
from onggi.kernel import mounts, namespaces, processes
from onggi.spawn import commands, host
from onggi.spawn.plan import Launched, StepFailed
from onggi.spawn.state import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from onggi.spawn.plan import Plan

LOG, PID, CONSOLE = "log.json", "pid", "console.sock"
LOG_BYTES = 1 << 20
ERRORS = 3
CONSOLE_SECONDS = 10.0
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Begun(StepFailed):
    """A start failed, and its `undo` steps are still to be run: by who reaps its processes.

    A runtime waits for the end of a sandbox by its pid, which is there until it is reaped.
    """


def launch(
    plan: Plan, stdin_fd: int, stdout_fd: int, stderr_fd: int, *, meanwhile: Callable[[int], None]
) -> Launched:
    """Create and start a container; `meanwhile` is called with init's pid between the two.

    Raises Begun. The caller is a child of a subreaper, who reaps init.
    """
    run = _Run(plan, (stdin_fd, stdout_fd, stderr_fd))
    try:
        run.prepare("config.json")
        run.root()
        console_fd, pid = run.process("create", ("--bundle", plan["place"]))
        failpoints.hit("launcher.foreign-created")
        meanwhile(pid)
        pidfd = _pidfd(pid)
        run.call("start", (run.id,), run.null)
        failpoints.hit("launcher.foreign-started")
    except StepFailed as error:
        raise Begun(error.step, error.argument, error.errno, error.text) from None
    return Launched(pid, pidfd, console_fd, [])


def join(plan: Plan, stdin_fd: int, stdout_fd: int, stderr_fd: int) -> Launched:
    """Start a process in a running container. Raises StepFailed."""
    run = _Run(plan, (stdin_fd, stdout_fd, stderr_fd))
    run.prepare("process.json")
    console_fd, pid = run.process("exec", ("--process", f"{plan['place']}/process.json", "--detach"))
    return Launched(pid, _pidfd(pid), console_fd, [])


def root_of(place: str, pid: int, parent: int) -> int:
    """A process whose root is the container's: init, or of a sandbox (gVisor) whoever serves its files.

    `parent` is the shim, whose children they are. Init where nobody has it.
    """
    wanted = _identity(f"{place}/rootfs")
    if _identity(f"/proc/{pid}/root") == wanted:
        return pid
    with open(f"/proc/{parent}/task/{parent}/children", "rb") as file:
        children = [int(text) for text in file.read().split()]
    return next((each for each in children if _identity(f"/proc/{each}/root") == wanted), pid)


def _identity(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0)  # it has ended
    return (found.st_dev, found.st_ino)


class _Run:
    """One use of the runtime. What it makes lies in this process's mount namespace."""

    def __init__(self, plan: Plan, stdio: tuple[int, int, int]) -> None:
        self.plan = plan
        self.id: str = plan["id"]
        self.place: str = plan["place"]
        self.stdio = stdio
        null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.null = (null_fd, null_fd, null_fd)
        self.parent = host.Parent(0, stdio)

    def prepare(self, name: str) -> None:
        """A mount namespace with the document in it."""
        host.run(self.plan["host"], self.parent)
        try:
            namespaces.unshare(namespaces.CLONE_NEWNS)
            mounts.mount(None, "/", None, mounts.MS_PRIVATE | mounts.MS_REC)
            flags = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC
            mounts.mount("onggi-bundle", self.place, "tmpfs", flags, "mode=0711")
            fd = os.open(f"{self.place}/{name}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.write(self.plan["document"])
            os.mkdir(f"{self.place}/rootfs", 0o755)  # an exec's, too: runc goes there
        except OSError as error:
            raise failure(("bundle", self.place), error) from None

    def root(self) -> None:
        """rootfs and mounts/N: the trees that the host steps have made."""
        try:
            os.mkdir(f"{self.place}/mounts", 0o711)
            for slot, path, read_only in self.plan["trees"]:
                tree_fd = self.parent.slots.pop(slot)
                if read_only:
                    mounts.mount_setattr(tree_fd, set_=mounts.MOUNT_ATTR_RDONLY, recursive=True)
                _attach(tree_fd, f"{self.place}/{path}")
        except OSError as error:
            raise failure(("bundle", self.place), error) from None

    def process(self, verb: str, options: tuple[str, ...]) -> tuple[int | None, int]:
        """`create` or `exec`: the terminal's master and the process's pid."""
        options = (*options, "--pid-file", f"{self.place}/{PID}")
        if not self.plan["terminal"]:
            self.call(verb, (*options, self.id), self.stdio)
            return None, self._pid(verb)
        listener = self._listen()
        try:
            # Relative: the path of a socket has 108 bytes, and the bundle is the working directory.
            self.call(verb, (*options, "--console-socket", CONSOLE, self.id), self.null)
            return self._console(listener, verb), self._pid(verb)
        finally:
            listener.close()

    def call(self, verb: str, options: tuple[str, ...], stdio: tuple[int, int, int]) -> None:
        """Raises StepFailed with what the runtime says."""
        log = f"{self.place}/{LOG}"
        args = (*self.plan["runtime"], "--log", log, "--log-format", "json", verb, *options)
        try:
            status = commands.run(args, stdio, self.place)
        except OSError as error:
            raise StepFailed("runtime", verb, error.errno or 0, error.strerror or str(error)) from None
        if status:
            how = f"exit status {status}" if status > 0 else f"signal {-status}"
            text = said(log) or f"{args[0]} did not terminate successfully: {how}"
            raise StepFailed("runtime", verb, 0, text)

    def _pid(self, verb: str) -> int:
        try:
            with open(f"{self.place}/{PID}") as file:
                return int(file.read())
        except (OSError, ValueError) as error:
            raise StepFailed("runtime", verb, 0, f"it has written no pid: {error}") from None

    def _listen(self) -> _socket.socket:
        os.chdir(self.place)
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC, 0)
        sock.bind(CONSOLE)
        os.chmod(CONSOLE, 0o666)  # the root of a user namespace writes to it; nobody else gets here
        sock.listen(1)
        os.chdir("/")
        return sock

    def _console(self, listener: _socket.socket, verb: str) -> int:
        listener.settimeout(CONSOLE_SECONDS)
        try:
            fd, _ = listener._accept()  # type: ignore[attr-defined]
            with open(fd, "rb", buffering=0):
                sock = _socket.socket(fileno=os.dup(fd))
                sock.settimeout(CONSOLE_SECONDS)
                _, ancillary, _, _ = sock.recvmsg(4096, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
                sock.close()
            for level, kind, rights in ancillary:
                if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                    return int.from_bytes(rights[:4], sys.byteorder)
        except OSError as error:
            raise StepFailed("runtime", verb, error.errno or 0, f"no terminal: {error}") from None
        raise StepFailed("runtime", verb, 0, "it has sent no terminal")


def _pidfd(pid: int) -> int:
    """Nobody has reaped it: that is the shim's, and it waits for us."""
    try:
        return processes.pidfd_open(pid)
    except OSError as error:
        raise failure(("pidfd", str(pid)), error) from None


def _attach(tree_fd: int, path: str) -> None:
    """On a directory or a file made for it."""
    try:
        if stat.S_ISDIR(os.fstat(tree_fd).st_mode):
            if not os.path.isdir(path):
                os.mkdir(path)
            place_fd = os.open(path, _DIRECTORY)
        else:
            place_fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        mounts.move_mount(tree_fd, place_fd)
        os.close(place_fd)
    finally:
        os.close(tree_fd)


def said(path: str) -> str:
    """The errors in a runtime's log, objects of {"level", "msg", "time"}; empty where there is none.

    gVisor ends them with no newline, and says what it was in the errors before the last.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        lines = os.pread(fd, LOG_BYTES, 0).replace(b"}{", b"}\n{").splitlines()
    finally:
        os.close(fd)
    errors = []
    for line in lines:
        try:
            found = loads(line)
        except ValueError:
            continue  # its last line may be cut off
        if isinstance(found, dict) and found.get("level") in ("error", "fatal", "panic"):
            errors.append(str(found.get("msg", "")).strip())
    return "; ".join(errors[-ERRORS:])
