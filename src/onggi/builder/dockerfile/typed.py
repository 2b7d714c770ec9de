"""Tree to typed instructions: each node by its reader, gathered into stages; what the checks see in the
tree.

INCLUDE, under `# syntax=onggi` only, puts another file's instructions in its place: its path is relative
to the file that names it and stays below the Dockerfile's directory.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping

import msgspec

from onggi.builder.dockerfile import front_ends
from onggi.builder.dockerfile import tree as trees
from onggi.builder.dockerfile.checks import Checks
from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.dockerfile.read import configuration, copying, from_, health, run
from onggi.builder.dockerfile.read.base import one_argument
from onggi.builder.dockerfile.suggest import hint
from onggi.builder.dockerfile.tree import NODES_MAX, SIZE_MAX, Node, Tree
from onggi.builder.instructions import AnyInstruction, Arg, Dockerfile, Location, Source, Stage
from onggi.errors import InvalidParameter

STAGES_MAX = 1000
NESTING_MAX = 16
READERS: dict[str, Callable[[Node], AnyInstruction]] = {
    "ADD": copying.add,
    "ARG": configuration.arg,
    "CMD": configuration.cmd,
    "COPY": copying.copy,
    "ENTRYPOINT": configuration.entrypoint,
    "ENV": configuration.env,
    "EXPOSE": configuration.expose,
    "HEALTHCHECK": health.healthcheck,
    "LABEL": configuration.label,
    "MAINTAINER": configuration.maintainer,
    "ONBUILD": configuration.on_build,
    "RUN": run.run,
    "SHELL": configuration.shell,
    "STOPSIGNAL": configuration.stop_signal,
    "USER": configuration.user,
    "VOLUME": configuration.volume,
    "WORKDIR": configuration.workdir,
}
NAMES = (*READERS, "FROM")
RESERVED = ("context", "scratch")


class MissingInclude(DockerfileError):
    """INCLUDE names a file that was not given yet: bring `path` and read again."""

    def __init__(self, path: str, location: Location) -> None:
        self.path = path
        super().__init__(f"INCLUDE {path}: no such file", location, parse=True)


def read(
    data: bytes,
    *,
    name: str = "Dockerfile",
    files: Mapping[str, bytes] | None = None,
    checks: Checks | None = None,
    syntax: str = "",
) -> Dockerfile:
    """A Dockerfile's text to its typed form. `files`: what INCLUDE may find, by path below the
    Dockerfile's directory. `syntax` is what the client says in the place of the file's own `# syntax=`.
    Raises DockerfileError, which names the line and can show it; InvalidParameter for the client's syntax.
    """
    loader = _Loader(name, data, files or {})
    front_ends.check(syntax)
    try:
        if not syntax:
            front_ends.check_file(data)
        tree, nodes = loader.load()
        return _dockerfile(tree, nodes, tuple(loader.sources), checks or Checks())
    except MissingInclude as error:
        raise error.within(loader.sources) from None
    except DockerfileError as error:
        raise DockerfileError(error.plain, error.location, loader.sources, parse=True) from None


def trigger(text: str, escape: str, location: Location) -> AnyInstruction:
    """An ONBUILD trigger of a base image; errors point at the FROM. Raises DockerfileError."""
    found = trees.parse(text.encode("utf-8", "surrogateescape"))
    if len(found.nodes) != 1:
        raise DockerfileError("onbuild trigger should be a single expression", location)
    node = msgspec.structs.replace(found.nodes[0], location=location)
    if node.name.upper() not in READERS:
        raise DockerfileError(f"{node.name.upper()} isn't allowed as an ONBUILD trigger", location)
    return READERS[node.name.upper()](node)


class _Loader:
    """The Dockerfile and what it INCLUDEs, as one list of nodes."""

    def __init__(self, name: str, data: bytes, files: Mapping[str, bytes]) -> None:
        self.sources = [Source(name, data)]
        self._files = files
        self._bytes = len(data)
        self._count = 0

    def load(self) -> tuple[Tree, list[Node]]:
        tree = trees.parse(self.sources[0].text)
        if not tree.directives.extended:
            return tree, list(tree.nodes)
        return tree, self._spliced(tree, "", ())

    def _spliced(self, tree: Tree, directory: str, above: tuple[str, ...]) -> list[Node]:
        nodes: list[Node] = []
        for node in tree.nodes:
            self._count += 1
            if self._count > NODES_MAX:
                raise DockerfileError(f"more than {NODES_MAX} instructions", node.location)
            if node.name.upper() == "INCLUDE":
                nodes += self._included(node, directory, above)
            else:
                nodes.append(node)
        return nodes

    def _included(self, node: Node, directory: str, above: tuple[str, ...]) -> list[Node]:
        asked = one_argument(node)
        path = posixpath.normpath(posixpath.join(directory, asked))
        if path.startswith(("/", "../")) or path in ("..", "."):
            raise DockerfileError(f"INCLUDE {asked}: outside of the Dockerfile's directory", node.location)
        if path in above:
            raise DockerfileError(f"INCLUDE {asked}: the file includes itself", node.location)
        if len(above) >= NESTING_MAX:
            raise DockerfileError(f"INCLUDE {asked}: more than {NESTING_MAX} deep", node.location)
        data = self._files.get(path)
        if data is None:
            raise MissingInclude(path, node.location)
        self._bytes += len(data)
        if self._bytes > SIZE_MAX:
            raise DockerfileError(f"INCLUDE {asked}: more than {SIZE_MAX} bytes", node.location)
        self.sources.append(Source(path, data))
        tree = trees.parse(data, source=len(self.sources) - 1)
        return self._spliced(tree, posixpath.dirname(path), (*above, path))


def _dockerfile(tree: Tree, nodes: list[Node], sources: tuple[Source, ...], checks: Checks) -> Dockerfile:
    try:
        checks.file_says(tree.directives.check)
    except InvalidParameter as error:
        raise DockerfileError(error.message, Location(1, max(1, tree.directives.lines))) from None
    for gap in tree.gaps:
        checks.report("NoEmptyContinuation", gap, "Empty continuation line")
    globals_: list[Arg] = []
    stages: list[tuple[Stage, list[AnyInstruction]]] = []
    for node in nodes:
        name = node.name.upper()
        _check(node, checks.under(node.comments))
        if name == "FROM":
            stages.append((from_.stage(node), []))
            if len(stages) > STAGES_MAX:
                raise DockerfileError(f"more than {STAGES_MAX} stages", node.location)
            continue
        reader = READERS.get(name)
        if reader is None:
            raise DockerfileError(_unknown(node, extended=tree.directives.extended), node.location)
        instruction = reader(node)
        if stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            globals_.append(instruction)
        else:
            raise DockerfileError("no build stage in current context", node.location)
    if not stages:
        raise DockerfileError("dockerfile contains no stages to build", nodes[-1].location)
    _check_stages([stage for stage, _ in stages], checks)
    _check_casing(nodes, checks)
    return Dockerfile(
        globals=tuple(globals_),
        stages=tuple(msgspec.structs.replace(stage, instructions=tuple(body)) for stage, body in stages),
        sources=sources,
        escape=tree.directives.escape,
    )


def _unknown(node: Node, *, extended: bool) -> str:
    names = (*NAMES, "INCLUDE") if extended else NAMES
    return f"unknown instruction: {node.name}{hint(node.name, names, case=False)}"


# -- checks that need only the tree


def _check(node: Node, checks: Checks) -> None:
    name = node.name.upper()
    if name == "MAINTAINER":
        checks.report(
            "MaintainerDeprecated",
            node.location,
            "Maintainer instruction is deprecated in favor of using label",
        )
    elif name == "FROM" and len(node.args) == 3:
        _check_from(node, checks)
    elif name == "ARG":
        _check_description(node, "ARG", [word.partition("=")[0] for word in node.args], checks)


def _check_from(node: Node, checks: Checks) -> None:
    as_, stage = node.args[1], node.args[2]
    if stage != stage.lower():
        checks.report("StageNameCasing", node.location, f"Stage name '{stage}' should be lowercase")
    cased = str.lower if node.name == node.name.lower() else str.upper
    if node.name == cased(node.name) and as_ != cased(as_):
        detail = f"'{as_}' and '{node.name}' keywords' casing do not match"
        checks.report("FromAsCasing", node.location, detail)
    _check_description(node, "FROM", [stage.lower()], checks)


def _check_description(node: Node, kind: str, names: list[str], checks: Checks) -> None:
    if not node.comments or not names or node.comments[-1].split(" ")[0] in names:
        return
    example = names[0] if len(names) == 1 else "<arg_key>"
    detail = f"Comment for {kind} should follow the format: `# {example} <description>`"
    checks.report("InvalidDefinitionDescription", node.location, detail)


def _check_stages(stages: list[Stage], checks: Checks) -> None:
    seen: set[str] = set()
    for stage in stages:
        if stage.name in RESERVED:
            detail = f'Stage name should not use the same name as reserved stage "{stage.name}"'
            checks.report("ReservedStageName", stage.location, detail)
        if stage.name and stage.name in seen:
            detail = f'Duplicate stage name "{stage.name}", stage names should be unique'
            checks.report("DuplicateStageName", stage.location, detail)
        seen.add(stage.name)


def _check_casing(nodes: list[Node], checks: Checks) -> None:
    """Names in the case of most of the others; global ARGs are not counted."""
    first = next(at for at, node in enumerate(nodes) if node.name.upper() == "FROM")
    counted = nodes[first:]
    lower = sum(node.name == node.name.lower() for node in counted)
    upper = sum(node.name == node.name.upper() for node in counted)
    cased, word = (str.lower, "lowercase") if lower > upper else (str.upper, "uppercase")
    for node in counted:
        if node.name != cased(node.name):
            detail = f"Command '{node.name}' should match the case of the command majority ({word})"
            checks.report("ConsistentInstructionCasing", node.location, detail)
