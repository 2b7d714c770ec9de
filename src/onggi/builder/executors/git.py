"""Checkouts of git repositories, by the `git` program: `ADD repository`, contexts and named contexts.

    build/TREE/fs       the checkout;  build/TREE/repository while it is made, unless .git is kept

A build always asks which commit a name stands for; a commit that was checked out before is in the cache.
Addresses and repositories are hostile:
- protocols are http, https, git and ssh, for submodules, too (CVE-2017-1000117, CVE-2022-39253);
- no configuration, hook, filter or credential helper of this machine is read, nobody is asked for a password;
- objects are checked as they arrive (transfer.fsckObjects: CVE-2018-11235, CVE-2019-1387);
- the program has no capabilities, gains none, and dies with the engine (setpriv(1));
- a subdirectory is found without following links; values that look like options are refused.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import re
import shutil
import signal
import stat
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import msgspec

from onggi.builder.cache.cache import GIT, Tree
from onggi.builder.executors.agents import Agent
from onggi.builder.executors.made import Made
from onggi.builder.graph import GitSource, Vertex
from onggi.builder.solver.results import Folder
from onggi.errors import InvalidParameter, NotFound, Unavailable
from onggi.kernel.files import RESOLVE_NO_SYMLINKS, openat2
from onggi.store import atomic

if TYPE_CHECKING:
    from onggi.builder.solver.job import Job

PROTOCOLS = "http:https:git:ssh"
COMMIT = re.compile(r"[0-9a-f]{40}")
HEX = re.compile(r"[0-9a-fA-F]{4,64}")
SCP = re.compile(r"[a-zA-Z0-9_-]+@[a-zA-Z0-9._-]+:")
SAID_BYTES = 64 << 10  # of what the program says, kept for the message of a failure
ANSWER_BYTES = 8 << 20  # of an answer that is read, such as the list of references
CONFIG = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "transfer.fsckObjects": "true",
    "fetch.recurseSubmodules": "false",
    "http.followRedirects": "initial",
    "credential.helper": "",
    "init.defaultBranch": "master",
    "advice.detachedHead": "false",
    "submodule.recurse": "false",
    "gc.auto": "0",
    # Faults of old, harmless commits: what well-known repositories have in them.
    **{
        f"fetch.fsck.{fault}": "ignore"
        for fault in (
            "badDate", "badEmail", "badName", "badTimezone", "missingEmail", "missingNameBeforeEmail",
            "missingSpaceBeforeDate", "missingSpaceBeforeEmail", "multipleAuthors", "zeroPaddedDate",
            "zeroPaddedFilemode",
        )
    },
}  # fmt: skip
SSH = "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile={known}"


class Wanted(msgspec.Struct, frozen=True):
    """A commit, and the reference that it was found under, empty where it was named itself."""

    commit: str
    ref: str


async def fetch(job: Job, vertex: Vertex, op: GitSource) -> Made:
    """Raises NotFound (reference, directory), Unavailable, InvalidParameter (address, checksum)."""
    _check(op)
    async with _program(job, vertex, op) as git:
        lock = job.builder.mount_locks.setdefault(f"git {op.remote}", asyncio.Lock())
        async with lock:
            wanted = await _wanted(git, op)
            key = _key(op, wanted)
            tree = await job.builder.work(job.builder.cache.tree, GIT, f"git-{key[:32]}")
            job.owns(tree.record_id)
            if tree.made:
                await _made(job, git, op, wanted, tree)
    job.materials[vertex.digest] = (f"{redacted(op.remote)}#{wanted.ref or op.ref}", {"sha1": wanted.commit})
    folder = Folder(f"{tree.path}/fs", tree.record_id, version=f"sha256:{key}")
    return Made(outputs={0: folder}, cached=not tree.made)


async def _made(job: Job, git: _Git, op: GitSource, wanted: Wanted, tree: Tree) -> None:
    """A new checkout, or none at all. Commit point: the record's `ready`."""
    cache = job.builder.cache
    try:
        await _checkout(git, op, wanted, tree.path)
        await job.builder.work(_settle, op, tree.path)
    except BaseException:
        await job.builder.work(cache.forget, tree.record_id)
        raise
    shown = f"git snapshot for {redacted(op.remote)}#{op.ref or wanted.ref}"
    await job.builder.work(cache.finish, tree.record_id, size=0, description=shown)
    await job.builder.work(cache.measure, tree)


def _check(op: GitSource) -> None:
    scheme = urlsplit(op.remote).scheme.lower() if "://" in op.remote else ""
    known = scheme in PROTOCOLS.split(":") or (not scheme and SCP.match(op.remote))
    if not known or any(char in op.remote for char in "\0\n\r"):
        raise InvalidParameter(
            f"{redacted(op.remote)}: repositories are fetched by {PROTOCOLS.replace(':', ', ')}"
        )
    if op.ref.startswith("-") or any(ord(char) < 33 or char in "\x7f~^:?*[\\" for char in op.ref):
        raise InvalidParameter(f"{redacted(op.remote)}: invalid reference {op.ref!r}")
    if op.checksum and not HEX.fullmatch(op.checksum):
        raise InvalidParameter(f"invalid checksum {op.checksum} for Git source, expected hex commit hash")


def _key(op: GitSource, wanted: Wanted) -> str:
    ref = wanted.ref if op.keep_git_dir else ""
    parts = (op.remote, wanted.commit, ref, op.subdir, op.keep_git_dir, op.submodules, op.mtime)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


# -- which commit


async def _wanted(git: _Git, op: GitSource) -> Wanted:
    """BuildKit's order: a commit's hash, a reference under its own name, a branch, a tag."""
    if COMMIT.fullmatch(op.ref):
        return _matching(op, Wanted(op.ref, ""))
    ref = op.ref or "HEAD"
    asked = [ref, f"{ref}^{{}}"] if op.ref else ["HEAD"]
    symref = [] if op.ref else ["--symref"]
    text = await git.answer("ls-remote", *symref, "--", op.remote, *asked)
    found: dict[str, str] = {}
    for line in text.splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: ") and name == "HEAD":
            ref = value[5:]
        elif COMMIT.fullmatch(value):
            found[name] = value
    short = ref.removeprefix("refs/")
    for name in (
        f"refs/{short}",
        f"refs/heads/{short.removeprefix('heads/')}",
        f"refs/tags/{short.removeprefix('tags/')}",
        "HEAD",
    ):
        if name in found:
            return _matching(
                op, Wanted(found.get(f"{name}^{{}}", found[name]), ref if name == "HEAD" else name)
            )
    raise NotFound(f"repository {redacted(op.remote)} does not contain ref {op.ref or 'HEAD'}")


def _matching(op: GitSource, wanted: Wanted) -> Wanted:
    if not wanted.commit.startswith(op.checksum.lower()):
        raise InvalidParameter(f"expected checksum to match {op.checksum}, got {wanted.commit}")
    return wanted


# -- the checkout


async def _checkout(git: _Git, op: GitSource, wanted: Wanted, path: str) -> None:
    kept = op.keep_git_dir and op.subdir in ("", ".", "/")
    work_tree = f"{path}/fs" if not _below(op) else f"{path}/whole"
    git_dir = f"{work_tree}/.git" if kept else f"{path}/repository"
    os.makedirs(work_tree, 0o755)
    here = git.inside(git_dir, work_tree)
    await here.run("init", "-q")
    await here.run("remote", "add", "origin", "--", op.remote)
    await _objects(here, wanted)
    await here.run("-c", "core.logAllRefUpdates=false", "checkout", "-q", "--force", *_branch(kept, wanted))
    if op.submodules and os.path.lexists(f"{work_tree}/.gitmodules"):
        await here.run("submodule", "update", "--init", "--recursive", "--depth=1")
    if kept:
        await here.run("remote", "set-url", "origin", "--", redacted(op.remote))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{git_dir}/FETCH_HEAD")
    if op.mtime == "commit":
        at = int((await here.answer("show", "-s", "--format=%ct", wanted.commit)).strip())
        await git.work(_dated, work_tree, at * 1_000_000_000)


def _below(op: GitSource) -> bool:
    return op.subdir not in ("", ".", "/")


def _branch(kept: bool, wanted: Wanted) -> list[str]:
    if kept and wanted.ref.startswith("refs/heads/"):
        return ["-B", wanted.ref.removeprefix("refs/heads/"), wanted.commit]
    return ["--detach", wanted.commit]


async def _objects(here: _Git, wanted: Wanted) -> None:
    """One commit with its files; all of the repository where the server gives no commit by its hash."""
    asked = (
        [f"+{wanted.ref}:{wanted.ref}"]
        if wanted.ref.startswith("refs/tags/")
        else [wanted.ref or wanted.commit]
    )
    try:
        await here.run("fetch", "-q", "--depth=1", "--no-tags", "origin", *asked)
        await here.answer("cat-file", "-e", f"{wanted.commit}^{{commit}}")
    except Unavailable:
        await here.run("fetch", "-q", "--tags", "--force", "origin", "+refs/heads/*:refs/remotes/origin/*")
        await here.answer("cat-file", "-e", f"{wanted.commit}^{{commit}}")


def _settle(op: GitSource, path: str) -> None:
    """The wanted directory as `fs`, and nothing beside it. Blocking."""
    if _below(op):
        root_fd = os.open(f"{path}/whole", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            parent, _, name = op.subdir.strip("/").rpartition("/")
            parent_fd = openat2(
                root_fd, parent or ".", os.O_PATH | os.O_DIRECTORY, resolve=RESOLVE_NO_SYMLINKS
            )
            try:
                facts = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
                if not stat.S_ISDIR(facts.st_mode) or name in ("..", ".git"):
                    raise NotADirectoryError
                os.rename(name, f"{path}/fs", src_dir_fd=parent_fd)
            finally:
                os.close(parent_fd)
        except OSError:
            raise NotFound(
                f"{redacted(op.remote)}: {op.subdir}: no such directory in the repository"
            ) from None
        finally:
            os.close(root_fd)
        shutil.rmtree(f"{path}/whole")
    if os.path.isdir(f"{path}/repository"):
        shutil.rmtree(f"{path}/repository")
        _remove_links(f"{path}/fs")
    os.chmod(f"{path}/fs", 0o755)


def _remove_links(path: str) -> None:
    """Submodules' `.git` files, which name a directory that is gone."""
    for directory, _, names in os.walk(path):
        if ".git" in names:
            os.unlink(f"{directory}/.git")


def _dated(path: str, at: int) -> None:
    for directory, directories, names in os.walk(path, topdown=False):
        for name in (*directories, *names):
            os.utime(f"{directory}/{name}", ns=(at, at), follow_symlinks=False)
    os.utime(path, ns=(at, at))


# -- the program


@contextlib.asynccontextmanager
async def _program(job: Job, vertex: Vertex, op: GitSource) -> AsyncIterator[_Git]:
    """git as this source may use it: with the client's secrets, and its ssh agent for an ssh address."""
    if shutil.which("git") is None:
        raise Unavailable(f"{redacted(op.remote)}: the program git is not installed on the engine's machine")
    config = dict(CONFIG)
    header = await _authorization(job, op)
    host = urlsplit(op.remote)
    if header and host.scheme in ("http", "https"):
        config[f"http.{host.scheme}://{host.netloc.rpartition('@')[2]}/.extraheader"] = (
            f"Authorization: {header}"
        )
    environment = _environment(config)
    async with contextlib.AsyncExitStack() as held:
        if host.scheme == "ssh" or "://" not in op.remote:
            directory = held.enter_context(_private(job))
            path = f"{directory}/agent"
            known = f"{directory}/known_hosts" if op.known_hosts else "/dev/null"
            if op.known_hosts:
                await job.builder.work(atomic.write, known, op.known_hosts.encode())
            (await job.client.ssh(op.ssh_id or "default")).close()  # raises NotFound where there is none
            await held.enter_async_context(Agent(job.client, op.ssh_id or "default", path))
            check = "yes" if op.known_hosts else "no"
            environment["GIT_SSH_COMMAND"] = SSH.replace("Checking=no", f"Checking={check}").format(
                known=known
            )
            environment["SSH_AUTH_SOCK"] = path
        yield _Git(job, vertex, environment)


@contextlib.contextmanager
def _private(job: Job) -> Iterator[str]:
    """A directory below the engine's own for a socket, as long as it is wanted."""
    path = f"{job.engine.paths.exec_root}/git-{job.id}-{os.urandom(4).hex()}"
    os.mkdir(path, 0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


async def _authorization(job: Job, op: GitSource) -> str:
    """The value of a header out of the client's secrets, those for this host first; "" where it has none."""
    host = urlsplit(op.remote).netloc.rpartition("@")[2]
    for suffix in (f".{host}", ""):
        for id, token in ((op.auth_header_secret, False), (op.auth_token_secret, True)):
            if not id or not host:
                continue
            try:
                secret = (await job.client.secret(f"{id}{suffix}")).decode("utf-8", "replace").strip()
            except NotFound:
                continue
            if "\n" in secret or "\0" in secret:
                raise InvalidParameter(f"secret {id}{suffix} has more than one line")
            return (
                "basic " + base64.b64encode(f"x-access-token:{secret}".encode()).decode() if token else secret
            )
    return ""


def _environment(config: dict[str, str]) -> dict[str, str]:
    """Settings go by the environment: arguments are there for everybody to read."""
    found = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": "/dev/null",
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ALLOW_PROTOCOL": PROTOCOLS,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": str(len(config)),
    }
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        if name in os.environ:
            found[name] = os.environ[name]
    for number, (name, value) in enumerate(config.items()):
        found[f"GIT_CONFIG_KEY_{number}"], found[f"GIT_CONFIG_VALUE_{number}"] = name, value
    return found


class _Git:
    def __init__(self, job: Job, vertex: Vertex, environment: dict[str, str]) -> None:
        self.work = job.builder.work
        self._job = job
        self._vertex = vertex
        self._environment = environment

    def inside(self, git_dir: str, work_tree: str) -> _Git:
        places = {"GIT_DIR": git_dir, "GIT_WORK_TREE": work_tree}
        return _Git(self._job, self._vertex, {**self._environment, **places})

    async def run(self, *args: str) -> None:
        """What it says is shown. Raises Unavailable with its last words."""
        await self._run(args, show=True)

    async def answer(self, *args: str) -> str:
        """Its output. Raises Unavailable."""
        return (await self._run(args, show=False)).decode("utf-8", "replace")

    async def _run(self, args: tuple[str, ...], *, show: bool) -> bytes:
        confined = [
            "setpriv",
            "--no-new-privs",
            "--bounding-set=-all",
            "--inh-caps=-all",
            "--pdeathsig=KILL",
            "--",
        ]
        work_tree = self._environment.get("GIT_WORK_TREE", "/")
        process = await asyncio.create_subprocess_exec(
            *(confined if shutil.which("setpriv") else []), "git", *args,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=self._environment, cwd=work_tree, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        try:
            out, said = await asyncio.gather(
                self._read(process.stdout, 1, ANSWER_BYTES, show=show),
                self._read(process.stderr, 2, SAID_BYTES, show=show),
            )
            code = await process.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            raise
        if code:
            words = redacted_text(said.decode("utf-8", "replace").strip())
            raise Unavailable(f"git {args[0]} failed ({code}): {words[-2000:]}")
        return out

    async def _read(self, stream: asyncio.StreamReader, number: int, limit: int, *, show: bool) -> bytes:
        """The last bytes of a stream; all of them are shown."""
        kept = b""
        while data := await stream.read(64 << 10):
            if show:
                self._job.output(
                    self._vertex, number, redacted_text(data.decode("utf-8", "replace")).encode()
                )
                await self._job.room()
            kept = (kept + data)[-limit:]
        return kept


_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")


def redacted_text(text: str) -> str:
    """Addresses in a text without passwords."""
    return _USERINFO.sub("xxxxx@", text)


def redacted(remote: str) -> str:
    """An address without its password."""
    try:
        url = urlsplit(remote)
    except ValueError:
        return remote
    if not url.password:
        return remote
    host = url.netloc.rpartition("@")[2]
    return urlunsplit((url.scheme, f"{url.username}:xxxxx@{host}", url.path, url.query, url.fragment))
