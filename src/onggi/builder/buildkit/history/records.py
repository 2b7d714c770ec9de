"""The message of a record: out of a build's request, its result, and what failed it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from onggi.builder.buildkit.messages import kind, timestamp
from onggi.builder.outputs import attestations, provenance
from onggi.builder.outputs.attestations import PROVENANCE, Wanted
from onggi.spec import digest as digests
from onggi.spec.image import Descriptor

if TYPE_CHECKING:
    from onggi.builder.buildkit.build import Outcome
    from onggi.builder.buildkit.exporters import Exported
    from onggi.builder.solver.job import Job

LOGS_TYPE = "application/vnd.buildkit.status.v0"
ERROR_TYPE = "application/vnd.googeapis.google.rpc.status+proto"  # BuildKit's spelling
VALUE_MAX = 16 << 10  # of an attribute; what is longer is cut
ATTRIBUTES_MAX = 256 << 10
DOCUMENT_MAX = 4 << 20
DOCUMENTS_MAX = 16 << 20
CANCELED = 1  # gRPC's code


class Draft:
    """A record while its build runs, with the blobs that it names so far."""

    def __init__(self, request: Any) -> None:
        self.message = kind("BuildHistoryRecord")(
            Ref=request.Ref,
            Frontend=request.Frontend,
            FrontendAttrs=_bounded(dict(request.FrontendAttrs)),
            Exporters=[
                kind("Exporter")(Type=one.Type, Attrs=_bounded(dict(one.Attrs))) for one in request.Exporters
            ],
            CreatedAt=timestamp(time.time_ns()),
        )  # fmt: skip
        self.blobs: dict[str, bytes] = {}

    def _blob(self, media_type: str, data: bytes, annotations: dict[str, str] | None = None) -> Any:
        digest = digests.of(data)
        self.blobs[digest] = data
        return kind("Descriptor")(
            media_type=media_type, digest=digest, size=len(data), annotations=annotations or {}
        )

    def attest(self, job: Job, outcome: Outcome, said: dict[str, list[tuple[str, Any]]]) -> None:
        """Provenance of each platform's result, with everything that is known; and what else the build has
        said, by platform. Blocking.
        """
        attested = outcome.attested
        wanted = Wanted(provenance="max", builder_id=attested.wanted.builder_id)
        for part in outcome.parts:
            platform = str(part.image.platform())
            info = self.message.Results[platform] if outcome.index else self.message.Result
            most = provenance.predicate(job, part.plan, wanted, attested.attributes)
            others = [(kind, body) for kind, body in said.get(platform, ()) if kind != PROVENANCE]
            for predicate_type, body in [(PROVENANCE, most), *others]:
                data = msgspec.json.format(msgspec.json.encode(body), indent=2)
                if len(data) <= DOCUMENT_MAX:
                    note = {"in-toto.io/predicate-type": predicate_type}
                    info.Attestations.append(self._blob(attestations.MEDIA_TYPE, data, note))

    def results(self, exported: list[Exported]) -> None:
        """What left the build: the documents of images, not their layers."""
        room = DOCUMENTS_MAX
        for one in exported:
            sizes = sum(map(len, one.documents.values()))
            if sizes > room:
                continue
            room -= sizes
            self.blobs.update(one.documents)
            self.message.Result.Results[one.number].CopyFrom(_descriptor(one.top))

    def answer(self, told: dict[str, str]) -> None:
        self.message.ExporterResponse.update(_bounded(told))

    def fail(self, status: Any) -> None:
        """`status` is a Status with details."""
        data = status.SerializeToString()
        self.message.error.code = status.code
        self.message.error.message = status.message[:VALUE_MAX]
        if len(data) <= DOCUMENT_MAX:
            self.message.externalError.CopyFrom(self._blob(ERROR_TYPE, data))

    def end(self, recording: Any) -> None:
        """Its log, and what was counted."""
        message = self.message
        message.CompletedAt.CopyFrom(timestamp(time.time_ns()))
        message.logs.CopyFrom(self._blob(LOGS_TYPE, recording.blob()))
        message.numTotalSteps, message.numCompletedSteps, message.numCachedSteps = recording.steps()
        message.numWarnings = recording.warnings


def _descriptor(one: Descriptor) -> Any:
    return kind("Descriptor")(
        media_type=one.media_type, digest=one.digest, size=one.size, annotations=one.annotations or {}
    )


def _bounded(values: dict[str, str]) -> dict[str, str]:
    """What a client sent, in bounded room: long values are cut, and there is an end to their number."""
    found = {}
    left = ATTRIBUTES_MAX
    for name, value in values.items():
        left -= len(name) + min(len(value), VALUE_MAX)
        if left < 0:
            break
        found[name] = value if len(value) <= VALUE_MAX else f"{value[:VALUE_MAX]}..."
    return found
