"""The protocol's messages, as one table: what this engine reads and writes of them, by field number.

    SolveRequest
        1 Ref string
        7 FrontendAttrs map string          a map from strings
        3 Results numbered Descriptor       a map from integers
        13 Exporters repeated Exporter

Fields that are not named here are skipped when they come, as protobuf has it. The numbers are those of
BuildKit v0.22 (api/services/control, frontend/gateway, session/*) and fsutil (types/wire). No package is
part of a message on the wire, so these live in a pool of their own.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from onggi.builder.buildkit import history_messages, operations

PACKAGE = "onggi.buildkit"
TABLE = """
Empty
Bytes
    1 data bytes
Timestamp
    1 seconds int64
    2 nanos int32
Status
    1 code int32
    2 message string
    3 details repeated Any
Any
    1 type_url string
    2 value bytes

Platform
    1 Architecture string
    2 OS string
    3 Variant string
BuildkitVersion
    1 package string
    2 version string
    3 revision string
WorkerRecord
    1 ID string
    2 Labels map string
    3 platforms repeated Platform
    5 BuildkitVersion BuildkitVersion
ListWorkersRequest
    1 filter repeated string
ListWorkersResponse
    1 record repeated WorkerRecord
InfoResponse
    1 buildkitVersion BuildkitVersion
PruneRequest
    1 filter repeated string
    2 all bool
    3 keepDuration int64
    4 reservedSpace int64
    5 maxUsedSpace int64
    6 minFreeSpace int64
DiskUsageRequest
    1 filter repeated string
DiskUsageResponse
    1 record repeated UsageRecord
UsageRecord
    1 ID string
    2 Mutable bool
    3 InUse bool
    4 Size int64
    6 CreatedAt Timestamp
    7 LastUsedAt Timestamp
    8 UsageCount int64
    9 Description string
    10 RecordType string
    11 Shared bool
    12 Parents repeated string

Exporter
    1 Type string
    2 Attrs map string
CacheOptions
    1 ExportRefDeprecated string
    4 Exports repeated Exporter
    5 Imports repeated Exporter
SourcePolicy
    1 version int64
    2 rules repeated PolicyRule
PolicyRule
    1 action int32
    2 selector PolicySelector
    3 updates PolicyUpdate
PolicyUpdate
    1 identifier string
    2 attrs map string
PolicySelector
    1 identifier string
    2 match_type int32
    3 constraints repeated PolicyConstraint
PolicyConstraint
    1 key string
    2 value string
    3 condition int32
SolveRequest
    1 Ref string
    2 Definition Definition
    3 ExporterDeprecated string
    4 ExporterAttrsDeprecated map string
    5 Session string
    6 Frontend string
    7 FrontendAttrs map string
    8 Cache CacheOptions
    9 Entitlements repeated string
    10 FrontendInputs map Definition
    11 Internal bool
    12 SourcePolicy SourcePolicy
    13 Exporters repeated Exporter
SolveResponse
    1 ExporterResponse map string

StatusRequest
    1 Ref string
StatusResponse
    1 vertexes repeated Vertex
    2 statuses repeated VertexStatus
    3 logs repeated VertexLog
    4 warnings repeated VertexWarning
Vertex
    1 digest string
    2 inputs repeated string
    3 name string
    4 cached bool
    5 started Timestamp
    6 completed Timestamp
    7 error string
VertexStatus
    1 ID string
    2 vertex string
    3 name string
    4 current int64
    5 total int64
    6 timestamp Timestamp
    7 started Timestamp
    8 completed Timestamp
VertexLog
    1 vertex string
    2 timestamp Timestamp
    3 stream int64
    4 msg bytes
VertexWarning
    1 vertex string
    2 level int64
    3 short bytes
    4 detail repeated bytes
    5 url string

APICap
    1 ID string
    2 Enabled bool
PongResponse
    1 FrontendAPICaps repeated APICap
    2 LLBCaps repeated APICap
    3 Workers repeated WorkerRecord
Ref
    1 id string
    2 def Definition
RefMap
    1 refs map Ref
Result
    3 ref Ref
    4 refs RefMap
    10 metadata map bytes
ReturnRequest
    1 result Result
    2 error Status
GatewaySolveRequest
    1 Definition Definition
    2 Frontend string
    3 FrontendOpt map string
    12 CacheImports repeated Exporter
    13 FrontendInputs map Definition
    15 SourcePolicies repeated SourcePolicy
GatewaySolveResponse
    3 result Result
InputsResponse
    1 Definitions map Definition
ResolveImageConfigRequest
    1 Ref string
    2 Platform Platform
    3 ResolveMode string
ResolveImageConfigResponse
    1 Digest string
    2 Config bytes
    3 Ref string
FileRange
    1 Offset int64
    2 Length int64
ReadFileRequest
    1 Ref string
    2 FilePath string
    3 Range FileRange
ReadDirRequest
    1 Ref string
    2 DirPath string
    3 IncludePattern string
ReadDirResponse
    1 entries repeated Stat
StatFileRequest
    1 Ref string
    2 Path string
StatFileResponse
    1 stat Stat
EvaluateRequest
    1 Ref string

Stat
    1 path string
    2 mode uint32
    3 uid uint32
    4 gid uint32
    5 size int64
    6 modTime int64
    7 linkname string
    8 devmajor int64
    9 devminor int64
    10 xattrs map bytes
Packet
    1 type int32
    2 stat Stat
    3 ID uint32
    4 data bytes
ContentInfo
    1 digest string
    2 size int64
ContentInfoRequest
    1 digest string
ContentInfoResponse
    1 info ContentInfo
ReadContentRequest
    1 digest string
    2 offset int64
    3 size int64
ReadContentResponse
    1 offset int64
    2 data bytes
WriteContentRequest
    1 action int32
    2 ref string
    3 total int64
    4 expected string
    5 offset int64
    6 data bytes
WriteContentResponse
    1 action int32
    4 offset int64
    6 digest string
GetSecretRequest
    1 ID string
CheckAgentRequest
    1 ID string
CredentialsRequest
    1 Host string
CredentialsResponse
    1 Username string
    2 Secret string
"""

_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _FIELD.TYPE_STRING,
    "bytes": _FIELD.TYPE_BYTES,
    "bool": _FIELD.TYPE_BOOL,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "uint32": _FIELD.TYPE_UINT32,
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    """The table as protobuf's own description of a file."""
    file = descriptor_pb2.FileDescriptorProto(name="onggi/buildkit.proto", package=PACKAGE, syntax="proto3")
    message = descriptor_pb2.DescriptorProto()
    for line in (TABLE + operations.TABLE + history_messages.TABLE).splitlines():
        if line.startswith("    "):
            _field(message, line.split())
        elif line:
            message = file.message_type.add(name=line)
    return file


def _field(message: descriptor_pb2.DescriptorProto, words: list[str]) -> None:
    number, name, *kind = words
    field = message.field.add(name=name, number=int(number), label=_FIELD.LABEL_OPTIONAL)
    if kind[0] in ("map", "numbered"):
        field.label = _FIELD.LABEL_REPEATED
        _typed(field, f"{message.name}.{name[0].upper()}{name[1:]}Entry")
        entry = message.nested_type.add(name=f"{name[0].upper()}{name[1:]}Entry")
        entry.options.map_entry = True
        _field(entry, ["1", "key", "string" if kind[0] == "map" else "int64"])
        _field(entry, ["2", "value", kind[1]])
        return
    if kind[0] == "repeated":
        field.label = _FIELD.LABEL_REPEATED
    _typed(field, kind[-1])


def _typed(field: descriptor_pb2.FieldDescriptorProto, kind: str) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _FIELD.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_file())
_classes: dict[str, Any] = {}


def kind(name: str) -> Any:
    """The class of a message by its name in the table."""
    found = _classes.get(name)
    if found is None:
        descriptor = _pool.FindMessageTypeByName(f"{PACKAGE}.{name}")
        found = _classes[name] = message_factory.GetMessageClass(descriptor)
    return found


def timestamp(at: int | None) -> Any:
    """Nanoseconds since 1970 as a message; None stays unset."""
    return None if at is None else kind("Timestamp")(seconds=at // 1_000_000_000, nanos=at % 1_000_000_000)
