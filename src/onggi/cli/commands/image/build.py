"""Build an image from a Dockerfile."""

from __future__ import annotations

import os

from onggi.cli import credentials, trust
from onggi.cli.building import agents, dockerfiles, failed, listing, own, progress, secrets
from onggi.cli.building.context import Context
from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from onggi.cli.building.outputs import Output
    from onggi.cli.building.progress import Built
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "PATH | URL | -"
ARGUMENTS = (1, 1)
FLAGS = (
    ("add-host", "", "list:host", None, "Name an address in /etc/hosts (host:ip)"),
    ("allow", "", "list", None, "Let steps have it (network.host, security.insecure, device[=NAME])"),
    ("build-arg", "", "list", None, "Set a variable of the Dockerfile's ARG (name=value, or name alone)"),
    (
        "cache-from",
        "",
        "list",
        None,
        "Where to look for results (an image, type=registry,ref=name or type=local,src=path)",
    ),
    (
        "cache-to",
        "",
        "list",
        None,
        "Where to put results (type=inline, registry,ref=name or local,dest=path)",
    ),
    (
        "call",
        "",
        "string",
        "build",
        'What to do with the Dockerfile ("build", "check", "outline", "targets")',
    ),
    ("cgroup-parent", "", "string", "", "Parent cgroup of RUN instructions"),
    ("check", "", "bool", False, "Check the Dockerfile instead of building it (--call=check)"),
    ("compress", "", "bool", False, "Compress the context on its way to the engine"),
    ("cpu-period", "", "int", 0, "Period of the CPU limit, in microseconds"),
    ("cpu-quota", "", "int", 0, "CPU time in each period, in microseconds"),
    ("cpu-shares", "c", "int", 0, "CPU shares (relative weight)"),
    ("cpuset-cpus", "", "string", "", "CPUs to run on (0-3, 0,1)"),
    ("cpuset-mems", "", "string", "", "Memory nodes to use (0-3, 0,1)"),
    trust.FLAG,
    ("file", "f", "string", "", "Name of the Dockerfile (PATH/Dockerfile)"),
    ("force-rm", "", "bool", False, "Remove containers of failed steps, as it always does"),
    ("iidfile", "", "string", "", "Write the image's id to a file"),
    ("isolation", "", "string", "", 'Isolation of RUN instructions ("default" is the only one on Linux)'),
    ("label", "", "list", None, "Set a label of the image"),
    ("load", "", "bool", True, "Put the image into the engine's store, as it always is"),
    ("memory", "m", "bytes", 0, "Memory limit of RUN instructions"),
    ("memory-swap", "", "bytes:swap", 0, "Limit of memory and swap; -1 is none"),
    ("network", "", "string", "", "Network of RUN instructions"),
    ("no-cache", "", "bool", False, "Run every step, whatever the cache has"),
    ("no-cache-filter", "", "list", None, "Run every step of a stage, whatever the cache has"),
    ("output", "o", "list", None, "What to make beside the image (type=local,dest=path)"),
    ("platform", "", "string", "", "Platform of the image, such as linux/arm64"),
    progress.FLAG,
    ("pull", "", "bool", False, "Ask the registry for newer base images"),
    ("quiet", "q", "bool", False, "Print the image's id alone"),
    ("rm", "", "bool", True, "Remove containers of steps, as it always does"),
    secrets.FLAG,
    ("security-opt", "", "list", None, "Security options of RUN instructions"),
    ("shell-on-failure", "", "bool", False, "Open a shell in what a RUN leaves that fails"),
    ("shm-size", "", "bytes", 0, "Size of /dev/shm"),
    ("squash", "", "bool", False, "Make one layer of all (engines with experimental features)"),
    agents.FLAG,
    ("tag", "t", "list", None, "Name of the image (name:tag)"),
    ("target", "", "string", "", "Stage to build"),
    ("ulimit", "", "ulimit", "[]", "Resource limit (name=soft[:hard])"),
)
REMOTE = ("http://", "https://", "git://", "git@", "github.com/")
EPOCH = "SOURCE_DATE_EPOCH"


def run(session: Session, flags: Flags, args: list[str]) -> int:
    trust.refuse(flags)
    kind = "quiet" if flags["quiet"] else progress.kind(flags["progress"])
    outputs = _outputs(flags)
    parameters = _parameters(flags)
    if flags["shell-on-failure"]:
        failed.need_terminal("--shell-on-failure")
        own.need(session, "--shell-on-failure")
        parameters["shellonfailure"] = True
    if outputs:
        from onggi.cli.building.outputs import rewrite

        parameters["rewritetimestamp"] = rewrite(outputs)
        if any(output.says_rewrite for output in outputs):
            own.need(session, "rewrite-timestamp")
    body = _body(args[0], flags, parameters)
    parameters["buildid"] = secrets.offered(session, flags["secret"])
    if flags["ssh"]:
        parameters["buildid"] = agents.offered(session, flags["ssh"], parameters["buildid"])
    exported = _caches(session, flags, parameters)
    if isinstance(body, Context):
        body = listing.changes(session, body, parameters)
    if flags["compress"] and body != b"":
        body = compressed(body)
    headers = {"Content-Type": "application/x-tar", "X-Registry-Config": credentials.everything(session)}
    call = _call(flags)
    if call:
        parameters["call"] = call
    if call:
        response = session.engine.open("POST", "/build", parameters, body, headers)
        return answer(session, session.engine.messages(response), call)
    with progress.Shown(kind) as shown:
        response = session.engine.open("POST", "/build", parameters, shown.sending(body), headers)
        built = shown.follow(session.engine.messages(response), lambda kept: failed.on_failure(session, kept))
    if not built.image:
        raise CommandError("the engine did not say which image it has built")
    session.engine.keep(response)
    for place in exported:
        from onggi.cli.building import caches

        caches.fetch(session, place, parameters)
    _finish(session, flags, outputs, built, quiet=kind == "quiet")
    return 0


def _caches(session: Session, flags: Flags, parameters: dict[str, Any]) -> list[str]:
    """Say where results come from and go to; the directories that are fetched after the build."""
    if not flags["cache-from"] and not flags["cache-to"]:
        return []
    from onggi import jsontext
    from onggi.cli.building import caches

    parameters["buildid"] = parameters["buildid"] or os.urandom(16).hex()
    sources = caches.send(session, flags["cache-from"], parameters)
    targets, places = caches.wanted(flags["cache-to"])
    parameters["cachefrom"] = jsontext.dumps(sources) if sources else None
    parameters["cacheto"] = jsontext.dumps(targets) if targets else None
    return places


def _call(flags: Flags) -> str:
    """What is asked of the Dockerfile; empty for a build. Raises CommandError."""
    name = "check" if flags["check"] else flags["call"]
    known = {"build": "", "check": "lint", "lint": "lint", "outline": "outline", "targets": "targets"}
    if name not in known:
        raise CommandError(f'invalid call "{name}": one of build, check, outline, targets')
    return known[name]


def answer(session: Session, messages: Iterable[dict[str, Any]], call: str) -> int:
    """Print what an engine of ours says of a Dockerfile; 1 where a check found something."""
    from onggi import jsontext

    found: dict[str, str] = {}
    for message in messages:
        if message.get("error"):
            raise CommandError(f"ERROR: {message['error']}")
        if message.get("id") == "onggi.answer":
            found = message["aux"]
    if not found:
        raise CommandError("this engine answers no questions about a Dockerfile")
    text = found["result.txt"]
    if call == "lint":
        said = jsontext.loads(found["result.json"])
        count = len(said["warnings"])
        told = "1 warning has been found!" if count == 1 else f"{count} warnings have been found!"
        text = f"Check complete, {told}\n{text}" if count else ""
        if said.get("buildError"):
            session.out(text.rstrip("\n")) if text else None
            raise CommandError(f"ERROR: {said['buildError']['message']}")
        text = text or "Check complete, no warnings found.\n"
    session.out(text.rstrip("\n"))
    return int(found.get("result.statuscode", "0"))


def _finish(session: Session, flags: Flags, outputs: list[Output], built: Built, *, quiet: bool) -> None:
    image = built.image
    if flags["iidfile"]:
        with open(flags["iidfile"], "w", encoding="ascii") as file:
            file.write(image)
    for output in outputs:
        output.write(session, image, built.epoch)
    if outputs and not flags["tag"] and not any(output.keeps_image for output in outputs):
        session.engine.delete(f"/images/{image}", noprune=True)
    elif quiet:
        session.out(image)


def _outputs(flags: Flags) -> list[Output]:
    if not flags["output"]:
        return []
    from onggi.cli.building.outputs import Output

    return [Output(text) for text in flags["output"]]


def _parameters(flags: Flags) -> dict[str, Any]:
    from onggi import jsontext

    arguments: dict[str, str | None] = {}
    for word in flags["build-arg"]:
        name, equals, value = word.partition("=")
        if equals or name in os.environ:
            arguments[name] = value if equals else os.environ[name]
    if EPOCH in os.environ and EPOCH not in arguments:  # as buildx takes it; reproducible-builds.org
        arguments[EPOCH] = os.environ[EPOCH]
    labels = dict(word.partition("=")[::2] for word in flags["label"])
    return {
        "t": flags["tag"] or None,
        "progress": "status",
        "nocache": flags["no-cache"] or None,
        "allow": jsontext.dumps(flags["allow"]) if flags["allow"] else None,
        "nocachefilter": flags["no-cache-filter"] or None,
        "pull": flags["pull"] or None,
        "rm": flags["rm"],
        "forcerm": flags["force-rm"] or None,
        "squash": flags["squash"] or None,
        "isolation": flags["isolation"] or None,
        "target": flags["target"] or None,
        "buildargs": jsontext.dumps(arguments) if arguments else None,
        "labels": jsontext.dumps(labels) if labels else None,
        "platform": flags["platform"] or None,
        "networkmode": flags["network"] or None,
        "extrahosts": flags["add-host"] or None,
        "shmsize": flags["shm-size"] or None,
        "memory": flags["memory"] or None,
        "memswap": flags["memory-swap"] or None,
        "cpushares": flags["cpu-shares"] or None,
        "cpuperiod": flags["cpu-period"] or None,
        "cpuquota": flags["cpu-quota"] or None,
        "cpusetcpus": flags["cpuset-cpus"] or None,
        "cpusetmems": flags["cpuset-mems"] or None,
        "cgroupparent": flags["cgroup-parent"] or None,
        "securityopt": flags["security-opt"] or None,
        "ulimits": jsontext.dumps(flags["ulimit"]) if flags["ulimit"] else None,
    }


# -- the context


def compressed(body: Iterable[bytes] | bytes) -> Iterable[bytes]:
    """The same bytes as gzip: for an engine at the end of a slow line."""
    import zlib

    packer = zlib.compressobj(wbits=31)
    for chunk in (body,) if isinstance(body, bytes) else body:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()


def _body(where: str, flags: Flags, parameters: dict[str, Any]) -> Iterable[bytes] | bytes:
    """What is sent; names the Dockerfile in the parameters. Raises CommandError."""
    if where == "-":
        return _stdin(flags, parameters)
    if where.startswith(REMOTE):
        if flags["file"] == "-":
            raise CommandError("a Dockerfile from stdin goes with a local context only")
        parameters["remote"] = where
        parameters["dockerfile"] = flags["file"] or None
        return b""
    if not os.path.isdir(where):
        what = "not a directory" if os.path.exists(where) else "no such file or directory"
        raise CommandError(f'unable to prepare context: path "{where}" not found: {what}')
    path = os.path.realpath(where)
    if flags["file"] == "-":
        name = f".dockerfile.{os.urandom(8).hex()}"
        parameters["dockerfile"] = name
        return Context(path, "", name=name, text=dockerfiles.read(0))
    dockerfile = os.path.abspath(flags["file"] or _default(path))
    inside = os.path.relpath(os.path.realpath(dockerfile), path)
    if inside.startswith("../"):
        name = f".dockerfile.{os.urandom(8).hex()}"
        parameters["dockerfile"] = name
        return Context(path, dockerfile, name=name, text=dockerfiles.whole(dockerfile))
    if not os.path.isfile(dockerfile):
        dockerfiles.whole(dockerfile)
    parameters["dockerfile"] = inside
    return Context(path, f"{path}/{inside}")


def _default(path: str) -> str:
    small = f"{path}/dockerfile"
    return (
        small if not os.path.exists(f"{path}/Dockerfile") and os.path.exists(small) else f"{path}/Dockerfile"
    )


def _stdin(flags: Flags, parameters: dict[str, Any]) -> Iterable[bytes]:
    """An archive is the context, anything else the Dockerfile without one."""
    from onggi.cli import archive_file
    from onggi.cli.building.context import BLOCK, header

    chunks = iter(archive_file.read(""))
    head = b""
    while len(head) < BLOCK and (data := next(chunks, b"")):
        head += data
    if _is_archive(head):
        parameters["dockerfile"] = flags["file"] or None
        return _joined(head, chunks)
    if flags["file"]:
        raise CommandError("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles")
    text = head + b"".join(chunks)
    if len(text) > dockerfiles.MAX_BYTES:
        raise CommandError(f"the Dockerfile has more than {dockerfiles.MAX_BYTES} bytes")
    return iter(
        (header(b"Dockerfile", b"0", 0o600, len(text), 0), text, bytes(-len(text) % BLOCK + 2 * BLOCK))
    )


def _joined(head: bytes, chunks: Iterable[bytes]) -> Iterable[bytes]:
    yield head
    yield from chunks


def _is_archive(head: bytes) -> bool:
    packed = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
    return head.startswith(packed) or head[257:262] == b"ustar"
