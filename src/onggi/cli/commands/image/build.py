"""Build an image from a Dockerfile."""

from __future__ import annotations

import os

from onggi.cli import credentials, trust
from onggi.cli.building import progress
from onggi.cli.building.context import Context
from onggi.cli.errors import CommandError, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from onggi.cli.building.outputs import Output
    from onggi.cli.flags import Flags
    from onggi.cli.session import Session

USAGE = "PATH | URL | -"
ARGUMENTS = (1, 1)
FLAGS = (
    ("add-host", "", "list:host", None, "Name an address in /etc/hosts (host:ip)"),
    ("build-arg", "", "list", None, "Set a variable of the Dockerfile's ARG (name=value, or name alone)"),
    ("cgroup-parent", "", "string", "", "Parent cgroup of RUN instructions"),
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
    ("output", "o", "list", None, "What to make beside the image (type=local,dest=path)"),
    ("platform", "", "string", "", "Platform of the image, such as linux/arm64"),
    ("progress", "", "string", "auto", 'How to show progress ("auto", "plain", "quiet", "rawjson")'),
    ("pull", "", "bool", False, "Ask the registry for newer base images"),
    ("quiet", "q", "bool", False, "Print the image's id alone"),
    ("rm", "", "bool", True, "Remove containers of steps, as it always does"),
    ("secret", "", "list", None, "A secret for RUN --mount=type=secret (id=name,src=path or env=NAME)"),
    ("security-opt", "", "list", None, "Security options of RUN instructions"),
    ("shm-size", "", "bytes", 0, "Size of /dev/shm"),
    ("squash", "", "bool", False, "Make one layer of all (engines with experimental features)"),
    ("tag", "t", "list", None, "Name of the image (name:tag)"),
    ("target", "", "string", "", "Stage to build"),
    ("ulimit", "", "ulimit", "[]", "Resource limit (name=soft[:hard])"),
)
REMOTE = ("http://", "https://", "git://", "git@", "github.com/")
STDIN_MAX = 10 << 20  # of a Dockerfile, as the engine has it


def run(session: Session, flags: Flags, args: list[str]) -> int:
    trust.refuse(flags)
    kind = _progress(flags)
    outputs = _outputs(flags)
    parameters = _parameters(flags)
    body = _body(args[0], flags, parameters)
    secrets = _secrets(flags)
    if secrets:
        _offer(session, parameters, secrets)
    if flags["compress"] and body != b"":
        body = compressed(body)
    headers = {"Content-Type": "application/x-tar", "X-Registry-Config": credentials.everything(session)}
    response = session.engine.open("POST", "/build", parameters, body, headers)
    image = progress.show(session.engine.messages(response), kind)
    if not image:
        raise CommandError("the engine did not say which image it has built")
    session.engine.keep(response)
    _finish(session, flags, outputs, image)
    return 0


def _finish(session: Session, flags: Flags, outputs: list[Output], image: str) -> None:
    if flags["iidfile"]:
        with open(flags["iidfile"], "w", encoding="ascii") as file:
            file.write(image)
    for output in outputs:
        output.write(session, image)
    if outputs and not flags["tag"] and not any(output.keeps_image for output in outputs):
        session.engine.delete(f"/images/{image}", noprune=True)
    elif flags["quiet"] or flags["progress"] == "quiet":
        session.out(image)


def _progress(flags: Flags) -> str:
    kind: str = flags["progress"]
    if flags["quiet"]:
        return "quiet"
    if kind not in ("auto", "plain", "quiet", "rawjson"):
        raise CommandError(f'invalid progress "{kind}": one of auto, plain, quiet, rawjson')
    return "plain" if kind == "auto" else kind


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
    labels = dict(word.partition("=")[::2] for word in flags["label"])
    return {
        "t": flags["tag"] or None,
        "progress": "status",
        "nocache": flags["no-cache"] or None,
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
        return Context(path, "", {name: _read(0)})
    dockerfile = os.path.abspath(flags["file"] or _default(path))
    inside = os.path.relpath(os.path.realpath(dockerfile), path)
    if inside.startswith("../"):
        name = f".dockerfile.{os.urandom(8).hex()}"
        parameters["dockerfile"] = name
        return Context(path, dockerfile, {name: _file(dockerfile)})
    if not os.path.isfile(dockerfile):
        _file(dockerfile)
    parameters["dockerfile"] = inside
    return Context(path, f"{path}/{inside}", {})


def _default(path: str) -> str:
    small = f"{path}/dockerfile"
    return (
        small if not os.path.exists(f"{path}/Dockerfile") and os.path.exists(small) else f"{path}/Dockerfile"
    )


def _file(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise CommandError(
            f"unable to prepare context: unable to evaluate Dockerfile {path}: {reason}"
        ) from None
    try:
        return _read(fd)
    finally:
        os.close(fd)


def _read(fd: int) -> bytes:
    parts = []
    size = 0
    while data := os.read(fd, 1 << 20):
        parts.append(data)
        size += len(data)
        if size > STDIN_MAX:
            raise CommandError(f"the Dockerfile has more than {STDIN_MAX} bytes")
    return b"".join(parts)


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
    if len(text) > STDIN_MAX:
        raise CommandError(f"the Dockerfile has more than {STDIN_MAX} bytes")
    return iter(
        (header(b"Dockerfile", b"0", 0o600, len(text), 0), text, bytes(-len(text) % BLOCK + 2 * BLOCK))
    )


def _joined(head: bytes, chunks: Iterable[bytes]) -> Iterable[bytes]:
    yield head
    yield from chunks


def _is_archive(head: bytes) -> bool:
    packed = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
    return head.startswith(packed) or head[257:262] == b"ustar"


# -- secrets


def _secrets(flags: Flags) -> dict[str, str]:
    """id -> base64 of the value. Raises CommandError."""
    import binascii

    from onggi.cli.options import csv

    found = {}
    for text in flags["secret"]:
        fields = {key.lower(): value for key, _, value in (word.partition("=") for word in csv.fields(text))}
        unknown = set(fields) - {"id", "src", "source", "env", "type"}
        if unknown:
            raise CommandError(f"unexpected key '{min(unknown)}' in '{text}'")
        name = fields.get("id", "")
        source = fields.get("src") or fields.get("source") or ""
        variable = fields.get("env") or (name if fields.get("type") == "env" else "")
        if not name:
            raise CommandError(f"secret {text!r} has no id")
        if not variable and not source and name in os.environ and fields.get("type") != "file":
            variable = name
        value = os.fsencode(os.environ.get(variable, "")) if variable else _file(source or name)
        found[name] = binascii.b2a_base64(value, newline=False).decode()
    return found


def _offer(session: Session, parameters: dict[str, Any], secrets: dict[str, str]) -> None:
    """Hand secrets over before the build; they stay in the engine's memory."""
    parameters["buildid"] = os.urandom(16).hex()
    try:
        session.engine.post("/build/secrets?buildid=" + parameters["buildid"], secrets)
    except Refused as error:
        if error.code == 404:
            raise CommandError("this engine takes secrets by BuildKit's protocol only") from None
        raise
