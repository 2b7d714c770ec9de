"""How an image was made: SLSA provenance v0.2 in BuildKit's words.

    min   when (not with SOURCE_DATE_EPOCH: the statement is then the same for the same input),
           from which images and addresses, with which front end; no values of arguments or labels
    max   also those, the Dockerfile, and every step of the graph

Source: BuildKit docs/attestations/slsa-provenance.md.
"""

from __future__ import annotations

import base64
import time
from typing import TYPE_CHECKING, Any

import msgspec

from onggi.builder.graph import GitSource, HttpSource, ImageSource, OciLayoutSource, Plan
from onggi.builder.outputs.attestations import Wanted, purl
from onggi.builder.outputs.operations import operation
from onggi.spec import digest as digests
from onggi.spec import reference as references
from onggi.spec import timestamp
from onggi.spec.platform import host

if TYPE_CHECKING:
    from onggi.builder.solver.job import Job

BUILD_TYPE = "https://mobyproject.org/buildkit@v1"
VALUES = ("build-arg:", "label:")  # told with mode=max alone
UNTOLD = (
    "cmdline",
    "source",
    "frontend.caps",
    "local-sessionid:",
    "localsessionid:",
    "attest:",
    "cache-",
    "context:",
)


def predicate(job: Job, plan: Plan, wanted: Wanted, attributes: dict[str, str]) -> dict[str, Any]:
    """Of one platform's plan."""
    most = wanted.provenance == "max"
    args = {
        name: value
        for name, value in sorted(attributes.items())
        if not name.startswith(UNTOLD) and (most or not name.startswith(VALUES))
    }
    address = attributes.get("context", "")
    source = {"uri": address} if address and not address.startswith("http://buildkit-session/") else {}
    metadata: dict[str, Any] = {
        **({} if plan.epoch is not None else _invocation(job)),
        "completeness": {"parameters": most, "environment": True, "materials": _complete(plan)},
        "reproducible": wanted.reproducible,
        f"{BUILD_TYPE}#hermetic": False,
    }
    found: dict[str, Any] = {
        "builder": {"id": wanted.builder_id},
        "buildType": BUILD_TYPE,
        "materials": materials(job, plan),
        "invocation": {
            "configSource": {**source, "entryPoint": attributes.get("filename", "Dockerfile")},
            "parameters": {
                "frontend": "dockerfile.v0",
                **({"args": args} if args else {}),
                "locals": [] if address else [{"name": "context"}, {"name": "dockerfile"}],
            },
            "environment": {"platform": str(host())},
        },
        "metadata": metadata,
    }
    if most:
        found["buildConfig"], metadata[f"{BUILD_TYPE}#metadata"] = _steps(plan)
    return found


def _invocation(job: Job) -> dict[str, str]:
    """What differs between two builds of the same; all of it may be left out (SLSA v0.2, metadata)."""
    return {
        "buildInvocationID": job.build_id or job.id,
        "buildStartedOn": timestamp.text(job.began_at),
        "buildFinishedOn": timestamp.text(time.time_ns()),
    }


def materials(job: Job, plan: Plan) -> list[dict[str, Any]]:
    """What came from elsewhere, with digests."""
    found: dict[str, dict[str, Any]] = {}
    for vertex in plan.graph:
        match vertex.op:
            case ImageSource():
                named = references.parse(vertex.op.reference)
                tagged = str(references.Reference(named.domain, named.path, named.tag, ""))
                uri = purl(tagged, vertex.platform)
                found[uri] = {"uri": uri, "digest": {"sha256": named.digest[7:]}}
            case OciLayoutSource():
                uri = f"pkg:oci/{vertex.op.store.partition(':')[2] or 'layout'}"
                found[uri] = {"uri": uri, "digest": {"sha256": vertex.op.reference.rpartition(":")[2]}}
            case GitSource() | HttpSource():
                known = job.materials.get(vertex.digest)
                if known is not None:
                    found[known[0]] = {"uri": known[0], "digest": known[1]}
    return list(found.values())


def _complete(plan: Plan) -> bool:
    """Directories of the client's have no digest that means anything elsewhere."""
    return all(vertex.op.__struct_config__.tag != "local" for vertex in plan.graph)


def _steps(plan: Plan) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every step, and the lines that it came from."""
    vertices = list(plan.graph)
    numbers = {vertex.digest: f"step{number}" for number, vertex in enumerate(vertices)}
    steps: list[dict[str, Any]] = []
    locations = {}
    for vertex in vertices:
        inputs = [f"{numbers[ref.vertex]}:{ref.output}" for ref in vertex.inputs if ref is not None]
        op = operation(vertex)
        steps.append(
            {
                "id": numbers[vertex.digest],
                "op": op,
                "inputs": inputs,
            }
        )
        lines = [
            {"ranges": [{"start": {"line": one.start}, "end": {"line": max(one.start, one.end)}}]}
            for one in vertex.meta.locations
        ]
        if lines:
            locations[numbers[vertex.digest]] = {"locations": lines}
    infos = [
        {"filename": one.name, "language": "Dockerfile", "data": base64.b64encode(one.text).decode()}
        for one in plan.sources
    ]
    mapping = {digests.of(msgspec.json.encode(step)): step["id"] for step in steps}
    config = {"digestMapping": mapping, "llbDefinition": steps}
    return config, {"source": {"infos": infos, "locations": locations}}
