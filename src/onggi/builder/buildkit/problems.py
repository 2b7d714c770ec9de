"""What failed a build, with what BuildKit's clients show of it: the vertex, and its lines of the Dockerfile.

Details of a gRPC status: `Any` messages whose values are JSON, as BuildKit's grpcerrors has it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import msgspec
from grpclib.exceptions import GRPCError

from onggi.builder.buildkit.calls import told
from onggi.builder.buildkit.messages import kind
from onggi.builder.dockerfile.errors import DockerfileError
from onggi.builder.instructions import Location, Source
from onggi.builder.solver.job import Failure

URL = "github.com/moby/buildkit/errdefs."
SHOWN_LINES = 100  # around the ones that are meant; the others are sent empty
LINE_MAX = 4 << 10
TRAILER_MAX = 64 << 10  # an error's details travel in a header


def explained(error: Exception, failure: Failure | None, sources: Sequence[Source]) -> GRPCError:
    """The error that ends a build. `failure` is the solver's, `sources` the Dockerfile
    and what it includes.
    """
    details = []
    location = None
    if isinstance(error, DockerfileError):
        location, sources = error.location, error.sources or sources
    elif failure is not None and failure.error is error:
        details.append(_detail("Vertex+json", {"digest": failure.vertex.digest}))
        location = next(iter(failure.vertex.meta.locations), None)
    if location is not None and location.source < len(sources):
        shown = _detail("Source+json", _source(sources[location.source], location))
        if len(shown.value) <= TRAILER_MAX:
            details.append(shown)
    return told(error, "build", details)


def _detail(name: str, value: Any) -> Any:
    return kind("Any")(type_url=URL + name, value=msgspec.json.encode(value))


def _source(source: Source, location: Location) -> dict[str, Any]:
    start, end = location.start, max(location.start, location.end)
    lines = source.text.split(b"\n")
    for number, line in enumerate(lines, 1):
        near = start - SHOWN_LINES <= number <= end + SHOWN_LINES
        lines[number - 1] = line[:LINE_MAX] if near else b""
    return {
        "info": {
            "filename": source.name,
            "data": base64.b64encode(b"\n".join(lines)).decode(),
            "language": "Dockerfile",
        },
        "ranges": [{"start": {"line": start}, "end": {"line": end}}],
    }
