"""Typed instructions: what a Dockerfile says, after its syntax is gone and before its variables are
expanded.

    Dockerfile
    |-- globals: Arg before the first FROM
    |-- stages: Stage (its FROM) with instructions in order

Made by dockerfile/instructions.py out of a tree, read by plan/. Values are frozen; strings hold `$NAME`
as the author wrote it where an instruction allows it: expansion needs the stage's environment, which only
the planner knows. Words are Docker's; source: docs.docker.com "Dockerfile reference"
(docker/dockerfile:1).
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from onggi.spec.image import Healthcheck


class Location(msgspec.Struct, frozen=True):
    """Lines of a source file, from 1, both ends included. `source` counts files: 0 is the Dockerfile, others
    were INCLUDEd.
    """

    start: int
    end: int
    source: int = 0


class Instruction(msgspec.Struct, frozen=True, kw_only=True, tag_field="instruction", omit_defaults=True):
    """What all have. `text` is the instruction as it is shown in progress and history: continuation lines
    joined, comments gone, the name in upper case; a here-document is not part of it. `comments` are
    those right above it (`# check=skip=...`, descriptions).
    """

    text: str
    location: Location
    comments: tuple[str, ...] = ()


class Heredoc(msgspec.Struct, frozen=True, omit_defaults=True):
    """`<<name`: an inline file, `data` as it was written. `expand` unless the name was quoted; `chomp`
    (`<<-`): leading tabs are to be taken away. Bytes that are not UTF-8 are surrogate escapes.
    """

    name: str
    data: str
    expand: bool = True
    chomp: bool = False
    fd: int = 0  # `3<<name`: for RUN, the shell's descriptor


class Pair(msgspec.Struct, frozen=True, omit_defaults=True):
    """A name and its value as written, quotes included. `legacy`: `ENV name the rest of the line`."""

    name: str
    value: str
    legacy: bool = False


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """A command line: `shell` form is one string for the stage's SHELL; else `args` is the exec form
    (JSON).
    """

    args: tuple[str, ...]
    shell: bool
    heredocs: tuple[Heredoc, ...] = ()


# -- mounts of RUN


class BindMount(msgspec.Struct, frozen=True, kw_only=True, tag="bind", omit_defaults=True):
    """`from` a stage, an image or a named context; without it, the build context."""

    target: str
    from_: str = msgspec.field(name="from", default="")
    source: str = ""
    read_write: bool = False  # what is written is thrown away after the step


class CacheMount(msgspec.Struct, frozen=True, kw_only=True, tag="cache", omit_defaults=True):
    """A directory that outlives builds, by `id`; `from`, `source`: what an empty one begins as."""

    target: str
    id: str = ""  # "": the target
    sharing: str = "shared"  # shared | private | locked
    from_: str = msgspec.field(name="from", default="")
    source: str = ""
    read_only: bool = False
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


class TmpfsMount(msgspec.Struct, frozen=True, kw_only=True, tag="tmpfs", omit_defaults=True):
    target: str
    size_bytes: int = 0  # 0: unlimited


class SecretMount(msgspec.Struct, frozen=True, kw_only=True, tag="secret", omit_defaults=True):
    """A secret of the client's as a file on tmpfs at `target`, as a variable `env`, or both."""

    id: str = ""
    target: str = ""
    env: str = ""
    required: bool = False
    mode: int | None = None  # default 0400
    uid: int | None = None
    gid: int | None = None


class SshMount(msgspec.Struct, frozen=True, kw_only=True, tag="ssh", omit_defaults=True):
    """A socket that leads to the client's ssh agent; SSH_AUTH_SOCK names it."""

    id: str = "default"
    target: str = ""
    required: bool = False
    mode: int | None = None  # default 0600
    uid: int | None = None
    gid: int | None = None


Mount: TypeAlias = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount


class Device(msgspec.Struct, frozen=True, omit_defaults=True):
    """`--device name[,required]`: a CDI device."""

    name: str
    required: bool = True


# -- instructions


class Arg(Instruction, frozen=True, kw_only=True, tag="ARG"):
    """Build arguments; a value of None has no default."""

    args: tuple[tuple[str, str | None], ...]


class Env(Instruction, frozen=True, kw_only=True, tag="ENV"):
    pairs: tuple[Pair, ...]


class Label(Instruction, frozen=True, kw_only=True, tag="LABEL"):
    pairs: tuple[Pair, ...]


class Run(Instruction, frozen=True, kw_only=True, tag="RUN"):
    """`mounts` are written as text too (`mount_texts`): they may hold variables and are parsed once
    expanded.
    """

    command: Command
    mount_texts: tuple[str, ...] = ()
    network: str = "default"  # default | none | host
    security: str = "sandbox"  # sandbox | insecure
    device_texts: tuple[str, ...] = ()


class Sources(Instruction, frozen=True, kw_only=True):
    """What COPY and ADD share. `heredocs` are sources too: files with content from the Dockerfile."""

    sources: tuple[str, ...]
    heredocs: tuple[Heredoc, ...] = ()
    target: str
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    excludes: tuple[str, ...] = ()


class Copy(Sources, frozen=True, kw_only=True, tag="COPY"):
    """`from` names a stage (by name or number), an image or a named context."""

    from_: str = msgspec.field(name="from", default="")


class Add(Sources, frozen=True, kw_only=True, tag="ADD"):
    """Sources may be URLs and git repositories; local archives are unpacked (`unpack` None), remote ones
    are not.
    """

    checksum: str = ""
    keep_git_dir: bool | None = None
    unpack: bool | None = None


class Cmd(Instruction, frozen=True, kw_only=True, tag="CMD"):
    command: Command


class Entrypoint(Instruction, frozen=True, kw_only=True, tag="ENTRYPOINT"):
    command: Command


class Shell(Instruction, frozen=True, kw_only=True, tag="SHELL"):
    args: tuple[str, ...]


class Healthcheck_(Instruction, frozen=True, kw_only=True, tag="HEALTHCHECK"):
    """The check is an image's value already (durations in nanoseconds); test ["NONE"] switches it off."""

    check: Healthcheck


class Workdir(Instruction, frozen=True, kw_only=True, tag="WORKDIR"):
    path: str


class User(Instruction, frozen=True, kw_only=True, tag="USER"):
    user: str


class Volume(Instruction, frozen=True, kw_only=True, tag="VOLUME"):
    paths: tuple[str, ...]


class Expose(Instruction, frozen=True, kw_only=True, tag="EXPOSE"):
    ports: tuple[str, ...]


class StopSignal(Instruction, frozen=True, kw_only=True, tag="STOPSIGNAL"):
    signal: str


class OnBuild(Instruction, frozen=True, kw_only=True, tag="ONBUILD"):
    """`trigger` is the text of an instruction, run when another build begins FROM this image."""

    trigger: str


class Maintainer(Instruction, frozen=True, kw_only=True, tag="MAINTAINER"):
    name: str


AnyInstruction: TypeAlias = (
    Arg | Env | Label | Run | Copy | Add | Cmd | Entrypoint | Shell | Healthcheck_ | Workdir | User | Volume
    | Expose | StopSignal | OnBuild | Maintainer
)  # fmt: skip


class Stage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One FROM and what follows it. `base` and `platform` as written: global ARGs are expanded by the
    planner.
    """

    base: str
    name: str = ""  # in lower case; "" has only its number
    platform: str = ""
    text: str
    location: Location
    comments: tuple[str, ...] = ()
    instructions: tuple[AnyInstruction, ...] = ()


class Source(msgspec.Struct, frozen=True):
    """A file that instructions' locations point into: to show lines of it when something fails."""

    name: str
    text: bytes


class Dockerfile(msgspec.Struct, frozen=True, kw_only=True):
    """A whole file. `escape` is its escape character, which expansion needs."""

    globals: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    sources: tuple[Source, ...]
    escape: str = "\\"
