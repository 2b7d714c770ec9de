"""The messages of the history of builds, in the form of messages.py: BuildKit v0.22 control.proto."""

TABLE = """
BuildHistoryRequest
    1 ActiveOnly bool
    2 Ref string
    3 EarlyExit bool
    4 Filter repeated string
    5 Limit int32
BuildHistoryEvent
    1 type int32
    2 record BuildHistoryRecord
BuildHistoryRecord
    1 Ref string
    2 Frontend string
    3 FrontendAttrs map string
    4 Exporters repeated Exporter
    5 error Status
    6 CreatedAt Timestamp
    7 CompletedAt Timestamp
    8 logs Descriptor
    9 ExporterResponse map string
    10 Result BuildResultInfo
    11 Results map BuildResultInfo
    12 Generation int32
    14 pinned bool
    15 numCachedSteps int32
    16 numTotalSteps int32
    17 numCompletedSteps int32
    18 externalError Descriptor
    19 numWarnings int32
UpdateBuildHistoryRequest
    1 Ref string
    2 Pinned bool
    3 Delete bool
    4 Finalize bool
Descriptor
    1 media_type string
    2 digest string
    3 size int64
    5 annotations map string
BuildResultInfo
    1 ResultDeprecated Descriptor
    2 Attestations repeated Descriptor
    3 Results numbered Descriptor
"""
