"""The history of builds, as BuildKit's clients ask for it (`docker buildx history`, Docker Desktop).

    recording.py   what a running build tells, kept in bounded memory; several may listen
    history.py     builds that run, records of those that have ended, and who waits for news of them
    records.py     a record's message: from a request, of a result, of an error
    filters.py     `--filter`, in containerd's filter language
    content.py     the blobs that records name: logs, provenance, manifests

    record = ref, front end and attributes, exporters, times, error, answer, numbers of steps
        logs           -> application/vnd.buildkit.status.v0: StatusResponses, each behind its length
        externalError  -> google.rpc.Status with details: the failed vertex, its lines of the Dockerfile
        Result(s)      -> provenance of each platform; documents of the exported images

A row of `build_history` owns all of it (store/build_history.py): it is there before the build runs, and holds
the blobs themselves, so a record is whole or it is not there. What an engine that died has left running is
ended as an error by the next one. Commit point: the row with the record's end.
"""
