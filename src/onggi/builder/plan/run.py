"""RUN: a process on the stage's tree, with its mounts, secrets and variables."""

from __future__ import annotations

import posixpath

from onggi.builder.dockerfile import heredocs
from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.dockerfile.expansion import Failed
from onggi.builder.dockerfile.read.run import device, mount
from onggi.builder.dockerfile.words import quoted
from onggi.builder.graph import (
    AnyMount,
    Bind,
    Cache,
    CdiDevice,
    Exec,
    FileOp,
    MakeDirectory,
    MakeFile,
    Meta,
    Owner,
    Secret,
    SecretEnv,
    Ssh,
    Tmpfs,
)
from onggi.builder.instructions import BindMount, CacheMount, Heredoc, Run, SecretMount, SshMount, TmpfsMount
from onggi.builder.plan.configuration import with_shell
from onggi.builder.plan.context import Building, masked
from onggi.builder.plan.drafts import Draft, Out
from onggi.builder.plan.stage import StageDraft

SCRIPTS = "/dev/pipes"  # where a here-document with `#!` is put
SSH_SOCKETS = "/run/buildkit/ssh_agent."
SECRETS = "/run/secrets/"


def run(building: Building, stage: StageDraft, one: Run) -> None:
    planned = _Run(building, stage, one)
    planned.mounts_of_instruction()
    args = planned.command()
    op = Exec(
        args=tuple(args),
        env=planned.environment(),
        cwd=stage.directory,
        user=stage.user,
        hostname=building.options.hostname,
        extra_hosts=building.options.extra_hosts,
        network=planned.network(),
        security=one.security,
        ulimits=building.options.ulimits,
        cgroup_parent=building.options.cgroup_parent,
        shm_bytes=building.options.shm_bytes,
        mounts=planned.all_mounts(),
        secret_env=tuple(planned.secret_env),
        devices=planned.devices(),
        proxy=building.proxies,
    )
    shown = masked(stage.variables, [secret.name for secret in planned.secret_env])
    meta = stage.meta(building.words.shown(planned.shown, shown, raw=True), one)
    stage.draft(Draft(op, planned.inputs, stage.platform or building.platform, meta))
    stage.remember(f"RUN {_history(stage, args)} # buildkit", layer=True)


def _history(stage: StageDraft, args: list[str]) -> str:
    """With the values of the ARGs that the command could see: `|1 VERSION=2 /bin/sh -c make`."""
    values = [
        f"{name}={stage.variables.get(name, default or '')}" for name, default in stage.arguments.items()
    ]
    return " ".join([*([f"|{len(values)}", *values] if values else []), *args])


class _Run:
    """Gathers the inputs and mounts of one RUN."""

    def __init__(self, building: Building, stage: StageDraft, one: Run) -> None:
        self.building = building
        self.stage = stage
        self.one = one
        self.shown = one.text
        self.inputs: list[Out] = []
        self.mounts: list[AnyMount] = []
        self.secret_env: list[SecretEnv] = []
        self.sockets: list[str] = []
        stage.uses("/")
        self.root = Bind(target="/", input=self._input(stage.out), output=0)

    def _input(self, out: Out | None) -> int:
        if out is None:
            return -1
        self.inputs.append(out)
        return len(self.inputs) - 1

    def _wrong(self, message: str) -> DockerfileError:
        return DockerfileError(message, self.one.location)

    # -- the command

    def command(self) -> list[str]:
        command = self.one.command
        args = command.args
        if command.heredocs:
            args = (self._with_documents(args[0], command.heredocs),)
        return with_shell(self.stage, args) if command.shell else list(args)

    def _with_documents(self, text: str, documents: tuple[Heredoc, ...]) -> str:
        """A lone here-document is the script itself; with a command before it, the shell reads them all."""
        first = documents[0]
        if not _alone(text):
            return "\n".join([text, *(_plain(one.data) + one.name for one in documents)])
        body = _plain(heredocs.without_tabs(first.data) if first.chomp else first.data)
        self.shown += f" ({heredocs.summary(first.data)})"
        if not body.startswith("#!"):
            return body
        script = MakeFile(input=-1, output=0, path="/" + first.name, data=_bytes(body), mode=0o755)
        meta = Meta(name="[internal] preparing inline document")
        draft = Draft(FileOp((script,)), (), self.stage.platform or self.building.platform, meta)
        self.mounts.append(Bind(target=SCRIPTS, input=self._input(draft.out()), read_only=True))
        return posixpath.join(SCRIPTS, first.name)

    def environment(self) -> tuple[str, ...]:
        environment = self.stage.environment()
        if self.sockets and "SSH_AUTH_SOCK" not in self.stage.variables:
            environment += (f"SSH_AUTH_SOCK={self.sockets[0]}",)
        return environment

    def network(self) -> str:
        wanted = self.one.network
        chosen = self.building.options.network if wanted == "default" else wanted
        return "sandbox" if chosen in ("", "default") else chosen

    def devices(self) -> tuple[CdiDevice, ...]:
        own = [device(text) for text in self.one.device_texts]
        return self.building.options.devices + tuple(CdiDevice(d.name, not d.required) for d in own)

    # -- mounts

    def all_mounts(self) -> tuple[AnyMount, ...]:
        return (self.root, *self.mounts)

    def mounts_of_instruction(self) -> None:
        sources = self.stage.copies.get(self.stage.place, [])
        for text, source in zip(self.one.mount_texts, sources, strict=True):
            try:
                wanted = mount(text, lambda word: self.building.expand(word, self.stage, self.one))
            except Failed as error:
                raise self._wrong(str(error)) from None
            except ValueError as error:
                raise self._wrong(str(error)) from None
            if isinstance(wanted, BindMount):
                self._bind(wanted, source)
            elif isinstance(wanted, CacheMount):
                self._cache(wanted, source)
            elif isinstance(wanted, TmpfsMount):
                self.mounts.append(Tmpfs(target=self._target(wanted.target), size_bytes=wanted.size_bytes))
            elif isinstance(wanted, SecretMount):
                self._secret(wanted)
            else:
                self._ssh(wanted)

    def _target(self, text: str) -> str:
        path = posixpath.normpath(posixpath.join("/", self.stage.directory, text))
        path = "/" + path.lstrip("/")
        if path == "/":
            raise self._wrong(f"invalid mount target {quoted(path)}")
        return path

    def _tree(self, name: str, source: StageDraft | None, path: str, target: str) -> Out | None:
        """The tree that a mount comes out of; it is told which of its paths are used."""
        if not name:
            return self.building.context(path)
        assert source is not None
        if not source.planned:
            raise self._wrong(
                f"cannot mount from stage {quoted(name)} to {quoted(target)}, stage needs to be defined "
                "before current command"
            )
        source.uses(path)
        return source.out

    def _bind(self, wanted: BindMount, source: StageDraft | None) -> None:
        target = self._target(wanted.target)
        path = posixpath.normpath(posixpath.join("/", wanted.source))
        out = self._tree(wanted.from_, source, path, wanted.target)
        self.mounts.append(
            Bind(
                target=target,
                input=self._input(out),
                source="" if path == "/" else path,
                read_only=not wanted.read_write,
            )
        )

    def _cache(self, wanted: CacheMount, source: StageDraft | None) -> None:
        target = self._target(wanted.target)
        path = posixpath.normpath(posixpath.join("/", wanted.source))
        out = self._tree(wanted.from_, source, path, wanted.target) if wanted.from_ else None
        path = "" if path == "/" else path
        if not path and (wanted.uid, wanted.gid, wanted.mode) != (None, None, None):
            out, path = self._owned(wanted, out), "/cache"
        name = wanted.id or posixpath.normpath(wanted.target)
        self.mounts.append(
            Cache(
                target=target,
                input=self._input(out),
                source=path,
                read_only=wanted.read_only,
                id=f"{self.building.options.cache_namespace}/{name}",
                sharing=wanted.sharing,
            )
        )

    def _owned(self, wanted: CacheMount, out: Out | None) -> Out:
        """An empty directory with an owner and a mode, for a new cache to begin as."""
        action = MakeDirectory(
            input=-1 if out is None else 0,
            output=0,
            path="/cache",
            mode=0o755 if wanted.mode is None else wanted.mode,
            owner=Owner(wanted.uid or 0, wanted.gid or 0),
        )
        meta = Meta(name="[internal] setting cache mount permissions")
        platform = self.stage.platform or self.building.platform
        return Draft(FileOp((action,)), () if out is None else (out,), platform, meta).out()

    def _secret(self, wanted: SecretMount) -> None:
        if wanted.env:
            self.secret_env.append(SecretEnv(wanted.id, wanted.env, optional=not wanted.required))
        target = wanted.target
        if not target and not wanted.env:
            target = SECRETS + posixpath.basename(wanted.id)
        if not target:
            return
        self.mounts.append(
            Secret(
                target=self._target(target),
                id=wanted.id,
                uid=wanted.uid or 0,
                gid=wanted.gid or 0,
                mode=0o400 if wanted.mode is None else wanted.mode,
                optional=not wanted.required,
            )
        )

    def _ssh(self, wanted: SshMount) -> None:
        target = self._target(wanted.target) if wanted.target else f"{SSH_SOCKETS}{len(self.sockets)}"
        self.sockets.append(target)
        self.mounts.append(
            Ssh(
                target=target,
                id=wanted.id,
                uid=wanted.uid or 0,
                gid=wanted.gid or 0,
                mode=0o600 if wanted.mode is None else wanted.mode,
                optional=not wanted.required,
            )
        )


def _alone(text: str) -> bool:
    """Whether the command is a here-document and nothing else."""
    try:
        return heredocs.parse(text) is not None
    except Failed:
        return False


def _plain(text: str) -> str:
    """A process's argument is text: bytes that are not UTF-8 are U+FFFD there."""
    return text if text.isascii() else _bytes(text).decode("utf-8", "replace")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
