"""Instructions that change the image's configuration or the stage's variables; WORKDIR makes a directory,
too.

History lines are BuildKit's, so that the same Dockerfile gives the same history.
"""

from __future__ import annotations

import posixpath
import re
import signal

import msgspec

from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.dockerfile.words import quoted
from onggi.builder.graph import FileOp, MakeDirectory, Owner
from onggi.builder.instructions import (
    Arg,
    Cmd,
    Command,
    Entrypoint,
    Env,
    Expose,
    Healthcheck_,
    Instruction,
    Label,
    Location,
    Maintainer,
    OnBuild,
    Pair,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from onggi.builder.plan import ports
from onggi.builder.plan.context import Building
from onggi.builder.plan.drafts import Draft
from onggi.builder.plan.scope import NO_ENVIRONMENT
from onggi.builder.plan.stage import StageDraft
from onggi.spec.image import Healthcheck

DEFAULT_SHELL = ("/bin/sh", "-c")
_SECRET = re.compile(
    r"(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE
)
_NO_SECRET = re.compile(r"(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)
SIGNAL_MAX = 64


def arg(building: Building, stage: StageDraft, one: Arg) -> None:
    """The client's value, else the default, else a global argument of that name."""
    shown = ["ARG"]
    for name, default in one.args:
        _no_secret("ARG", name, stage, one.location)
        value = building.given(name)
        if value is None and default is not None:
            value = building.expand(default, stage, one)
        elif value is None:
            value = building.globals.get(name)
        if value is not None and name not in NO_ENVIRONMENT:
            stage.set_variable(name, value)
        stage.arguments.pop(name, None)
        stage.arguments[name] = value
        shown.append(name if value is None else f"{name}={value}")
    stage.remember(" ".join(shown), layer=False)


def env(building: Building, stage: StageDraft, one: Env) -> None:
    """All words see the variables as they were before the instruction."""
    pairs = _pairs(building, stage, one, one.pairs)
    shown = ["ENV"]
    for name, value in pairs:
        _no_secret("ENV", name, stage, one.location)
        shown.append(f"{name}={value}")
        stage.set_variable(name, value)
        listed = {item.partition("=")[0]: item for item in stage.config.env or []}
        listed[name] = f"{name}={value}"
        stage.change(env=list(listed.values()))
    stage.remember(" ".join(shown), layer=False)


def label(building: Building, stage: StageDraft, one: Label) -> None:
    pairs = _pairs(building, stage, one, one.pairs)
    stage.change(labels={**(stage.config.labels or {}), **dict(pairs)})
    stage.remember(" ".join(["LABEL", *(f"{name}={value}" for name, value in pairs)]), layer=False)


def _pairs(
    building: Building, stage: StageDraft, one: Instruction, pairs: tuple[Pair, ...]
) -> list[tuple[str, str]]:
    kind = "ENV" if isinstance(one, Env) else "LABEL"
    if any(pair.legacy for pair in pairs):
        detail = f'"{kind} key=value" should be used instead of legacy "{kind} key value" format'
        stage.checks.report("LegacyKeyValueFormat", one.location, detail)
    return [
        (building.expand(pair.name, stage, one), building.expand(pair.value, stage, one)) for pair in pairs
    ]


def _no_secret(kind: str, name: str, stage: StageDraft, location: Location) -> None:
    if _SECRET.search(name) and not _NO_SECRET.search(name):
        detail = f'Do not use ARG or ENV instructions for sensitive data ({kind} "{name}")'
        stage.checks.report("SecretsUsedInArgOrEnv", location, detail)


def cmd(building: Building, stage: StageDraft, one: Cmd) -> None:
    _once("CMD", stage, one.location)
    args = _command("CMD", stage, one, one.command)
    stage.change(cmd=args, args_escaped=True)
    stage.remember("CMD " + _list(args), layer=False)


def entrypoint(building: Building, stage: StageDraft, one: Entrypoint) -> None:
    """A base image's CMD goes with its ENTRYPOINT; one of this stage stays."""
    _once("ENTRYPOINT", stage, one.location)
    args = _command("ENTRYPOINT", stage, one, one.command)
    stage.change(entrypoint=args or None)
    if "CMD" not in stage.once:
        stage.change(cmd=None)
    stage.remember("ENTRYPOINT " + _list(args), layer=False)


def healthcheck(building: Building, stage: StageDraft, one: Healthcheck_) -> None:
    _once("HEALTHCHECK", stage, one.location)
    stage.change(healthcheck=one.check)
    stage.remember("HEALTHCHECK " + _health(one.check), layer=False)


def _once(kind: str, stage: StageDraft, location: Location) -> None:
    """The one before is the one that is reported: it has no effect."""
    before = stage.once.get(kind)
    if before is not None:
        detail = (
            f"Multiple {kind} instructions should not be used in the same stage because only the last one "
            "will be used"
        )
        stage.checks.report("MultipleInstructionsDisallowed", before, detail)
    stage.once[kind] = location


def _command(kind: str, stage: StageDraft, one: Instruction, command: Command) -> list[str]:
    if not command.shell:
        return list(command.args)
    if not stage.config.shell:
        detail = f"JSON arguments recommended for {kind} to prevent unintended behavior related to OS signals"
        stage.checks.report("JSONArgsRecommended", one.location, detail)
    return with_shell(stage, command.args)


def with_shell(stage: StageDraft, args: tuple[str, ...]) -> list[str]:
    return [*(stage.config.shell or DEFAULT_SHELL), " ".join(args)]


def shell(building: Building, stage: StageDraft, one: Shell) -> None:
    stage.change(shell=list(one.args))
    stage.remember(f"SHELL [{' '.join(one.args)}]", layer=False)


def workdir(building: Building, stage: StageDraft, one: Workdir) -> None:
    """The directory is made, and belongs to USER."""
    path = building.expand(one.path, stage, one)
    if not stage.directory_set and not path.startswith("/"):
        detail = f"Relative workdir {quoted(path)} can have unexpected results if the base image changes"
        stage.checks.report("WorkdirRelativePath", one.location, detail)
    stage.directory_set = True
    enter(stage, path)
    directory = stage.directory
    if directory == "/":
        stage.remember("WORKDIR /", layer=False)
        return
    owner = owner_of(stage.user) if stage.user else None
    timestamp = None if stage.epoch is None else stage.epoch * 10**9
    first = -1 if stage.out is None else 0
    action = MakeDirectory(
        input=first, output=0, path=directory, make_parents=True, owner=owner, timestamp=timestamp
    )
    inputs = () if stage.out is None else (stage.out,)
    meta = stage.meta(building.words.shown(one.text, stage.variables), one)
    stage.draft(Draft(FileOp((action,)), inputs, stage.platform or building.platform, meta))
    stage.remember("WORKDIR " + directory, layer=True)


def enter(stage: StageDraft, path: str) -> None:
    """Be in a directory, relative to the one before."""
    joined = posixpath.join("/", stage.config.working_dir or "/", path)
    stage.directory = "/" + posixpath.normpath(joined).lstrip("/")
    stage.change(working_dir=stage.directory)


def owner_of(text: str) -> Owner:
    """`user[:group]`, numbers or names."""
    user, colon, group = text.partition(":")
    return Owner(_id(user), _id(group) if colon and group else None)


def _id(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else text


def user(building: Building, stage: StageDraft, one: User) -> None:
    stage.user = building.expand(one.user, stage, one)
    stage.change(user=stage.user)
    stage.remember("USER " + stage.user, layer=False)


def volume(building: Building, stage: StageDraft, one: Volume) -> None:
    paths = [building.expand(path, stage, one) for path in one.paths]
    if not all(paths):
        raise DockerfileError("VOLUME specified can not be an empty string", one.location)
    stage.change(volumes={**(stage.config.volumes or {}), **{path: {} for path in paths}})
    stage.remember(f"VOLUME [{' '.join(paths)}]", layer=False)


def expose(building: Building, stage: StageDraft, one: Expose) -> None:
    """A variable may hold several ports."""
    found: list[str] = []
    for word in one.ports:
        for port in building.words.expand(word, stage.variables, one.location).words:
            try:
                found += ports.parse(port, one.location, stage.checks)
            except ValueError as error:
                raise DockerfileError(str(error), one.location) from None
    stage.change(exposed_ports={**(stage.config.exposed_ports or {}), **{port: {} for port in found}})
    stage.remember(f"EXPOSE [{' '.join(found)}]", layer=False)


def stop_signal(building: Building, stage: StageDraft, one: StopSignal) -> None:
    text = building.expand(one.signal, stage, one)
    if not _is_signal(text):
        raise DockerfileError(f"invalid signal: {text}", one.location)
    stage.change(stop_signal=text)
    stage.remember("STOPSIGNAL " + text, layer=False)


def _is_signal(text: str) -> bool:
    if text.isascii() and text.isdigit():
        return 0 < int(text[:6]) <= SIGNAL_MAX
    name = text.upper().removeprefix("SIG")
    base, sign, offset = name.partition("+") if "+" in name else name.partition("-")
    if base in ("RTMIN", "RTMAX"):
        return not sign or (offset.isdigit() and int(offset[:6]) <= 15)
    return "SIG" + name in signal.Signals.__members__


def on_build(building: Building, stage: StageDraft, one: OnBuild) -> None:
    stage.change(on_build=[*(stage.config.on_build or []), one.trigger])


def maintainer(building: Building, stage: StageDraft, one: Maintainer) -> None:
    stage.image = msgspec.structs.replace(stage.image, author=one.name)
    stage.remember("MAINTAINER " + one.name, layer=False)


# -- as Go prints


def _list(args: list[str]) -> str:
    return "[" + " ".join(map(quoted, args)) + "]"


def _health(check: Healthcheck) -> str:
    return (
        f"{{Test:[{' '.join(check.test or [])}] Interval:{_duration(check.interval)} "
        f"Timeout:{_duration(check.timeout)} StartPeriod:{_duration(check.start_period)} "
        f"StartInterval:{_duration(check.start_interval)} Retries:{check.retries}}}"
    )


def _duration(nanoseconds: int) -> str:
    """1m30s, 1h0m0s, 1.5s, 20ms."""
    if nanoseconds < 10**9:
        for size, unit in ((10**6, "ms"), (10**3, "\u00b5s"), (1, "ns")):
            if nanoseconds >= size:
                return f"{nanoseconds / size:.9g}{unit}"
        return "0s"
    minutes, rest = divmod(nanoseconds, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / 10**9:.11g}s"
    return f"{hours}h{minutes}m{seconds}" if hours else f"{minutes}m{seconds}" if minutes else seconds
