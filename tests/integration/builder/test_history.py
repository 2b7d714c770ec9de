"""The history of builds by the real buildx: list, inspect, logs, attachments, export; and what bounds it."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import signal
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from grpclib.client import UnaryStreamMethod, UnaryUnaryMethod
from grpclib.exceptions import GRPCError

from onggi.builder.buildkit.history.recording import LOGS_MAX
from onggi.builder.buildkit.messages import kind
from tests import engines
from tests.buildx import buildx, start
from tests.llb import with_client

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
CONTROL = "/moby.buildkit.v1.Control/"
FAILING = "FROM busybox:test\nRUN true\nRUN echo said before; exit 3\n"


@pytest.fixture
def context(context: Path) -> Path:
    (context / "Dockerfile").write_text("FROM busybox:test\nARG A\nRUN echo a line of output; echo $A > /a\n")
    return context


@pytest.fixture(autouse=True)
def _without_records(engine: engines.Engine, context: Path) -> None:
    buildx(engine, context, "history", "rm", "--all")


def records(engine: engines.Engine, context: Path, *args: str) -> list[dict[str, Any]]:
    shown = buildx(engine, context, "history", "ls", "--format", "json", *args)
    return [json.loads(line) for line in shown.splitlines()]


def built(engine: engines.Engine, context: Path, *args: str) -> str:
    """The ref of a new build."""
    file = context.parent / "said.json"
    buildx(engine, context, "build", "--metadata-file", str(file), *args, ".")
    return str(json.loads(file.read_text())["buildx.build.ref"]).rpartition("/")[2]


def test_a_build_is_listed_inspected_and_told_again(engine: engines.Engine, context: Path) -> None:
    ref = built(engine, context, "-t", "recorded:1", "--build-arg", "A=value", "--label", "l=m")
    (one,) = records(engine, context)
    assert one["ref"].endswith(ref) and one["status"] == "Completed" and one["name"] == "context"
    assert (one["completed_steps"], one["total_steps"]) == (5, 5)
    said = json.loads(buildx(engine, context, "history", "inspect", ref, "--format", "json"))
    assert said["BuildArgs"] == [{"Name": "A", "Value": "value"}] and said["Status"] == "completed"
    assert said["Labels"] == [{"Name": "l", "Value": "m"}]
    (material,) = said["Materials"]
    assert material["URI"].startswith("pkg:docker/busybox@test") and material["Digests"][0].startswith(
        "sha256"
    )
    assert {each["Type"] for each in said["Attachments"]} == {
        "https://slsa.dev/provenance/v0.2", "application/vnd.oci.image.manifest.v1+json",
    }  # fmt: skip
    for args in ((), (ref,), ("^0",)):
        logs = buildx(engine, context, "history", "logs", *args)
        assert " a line of output\n" in logs and "naming to docker.io/library/recorded:1" in logs
    assert "no record found" in buildx(engine, context, "history", "logs", "other", fails=True)


def test_attachments_are_read_by_kind_and_by_digest(engine: engines.Engine, context: Path) -> None:
    ref = built(engine, context, "--sbom=true", "-t", "recorded:2")
    attachment = ("history", "inspect", "attachment", ref)
    provenance = json.loads(buildx(engine, context, *attachment, "--type", "provenance"))
    assert provenance["metadata"]["buildInvocationID"] == ref
    (run,) = [
        step["op"]["Op"]["exec"]
        for step in provenance["buildConfig"]["llbDefinition"]
        if "exec" in step["op"]["Op"]
    ]
    assert run["meta"]["args"][-1] == "echo a line of output; echo $A > /a"
    index = json.loads(buildx(engine, context, *attachment, "--type", "index"))
    manifest = index["manifests"][0]["digest"]
    config = json.loads(buildx(engine, context, *attachment, manifest))["config"]["digest"]
    assert json.loads(buildx(engine, context, *attachment, config))["os"] == "linux"
    assert json.loads(buildx(engine, context, *attachment, "--type", "sbom"))["spdxVersion"] == "SPDX-2.3"
    missing = buildx(engine, context, *attachment, "sha256:" + "0" * 64, fails=True)
    assert "no build record has content" in missing


def test_every_platform_has_its_provenance(engine: engines.Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    ref = built(engine, context, "--platform", "linux/amd64,linux/arm64")
    said = json.loads(buildx(engine, context, "history", "inspect", ref, "--format", "json"))
    kinds = [(one.get("Platform"), one["Type"]) for one in said["Attachments"]]
    for platform in ("linux/amd64", "linux/arm64"):
        assert (platform, "https://slsa.dev/provenance/v0.2") in kinds


def test_a_failed_build_shows_its_line_and_its_last_output(engine: engines.Engine, context: Path) -> None:
    (context / "Dockerfile").write_text(FAILING)
    told = buildx(engine, context, "build", "--progress=plain", ".", fails=True)
    shown = buildx(engine, context, "history", "inspect")
    for text in (told, shown):
        assert "Dockerfile:3\n" in text and "3 | >>> RUN echo said before; exit 3\n" in text
    assert "> said before\n" in shown and "did not complete successfully: exit code: 3" in shown
    (one,) = records(engine, context)
    assert one["status"] == "Error"
    (context / "Dockerfile").write_text("FROM busybox:test\nRUNN x\n")
    told = buildx(engine, context, "build", "--progress=plain", ".", fails=True)
    assert "2 | >>> RUNN x\n" in told and "unknown instruction: RUNN" in told


def test_filters(engine: engines.Engine, context: Path) -> None:
    good = built(engine, context)
    (context / "Dockerfile").write_text(FAILING)
    buildx(engine, context, "build", ".", fails=True)
    assert [
        one["ref"].rpartition("/")[2] for one in records(engine, context, "--filter", "status=completed")
    ] == [good]
    assert len(records(engine, context, "--filter", "status=error")) == 1
    assert len(records(engine, context, "--filter", f"ref={good[:5]}")) == 1
    assert len(records(engine, context, "--filter", "startedAt>1h")) == 2
    assert records(engine, context, "--filter", "duration>1h") == []
    assert len(records(engine, context, "--filter", f"ref!={good}")) == 1


def test_export_is_a_bundle_with_all_of_it(engine: engines.Engine, context: Path) -> None:
    ref = built(engine, context)
    bundle = context.parent / "record.dockerbuild"
    buildx(engine, context, "history", "export", "--finalize", "-o", str(bundle), ref)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(bundle.read_bytes()))) as tar:
        found = {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}  # type: ignore[union-attr]
    (entry,) = json.loads(found["index.json"])["manifests"]
    manifest = json.loads(found[f"blobs/sha256/{entry['digest'][7:]}"])
    record = json.loads(found[f"blobs/sha256/{manifest['config']['digest'][7:]}"])
    assert record["Ref"] == ref
    assert {layer["mediaType"] for layer in manifest["layers"]} >= {
        "application/vnd.buildkit.status.v0", "application/vnd.in-toto+json",
    }  # fmt: skip
    assert buildx(engine, context, "history", "rm", ref) == ""
    assert records(engine, context) == []
    assert "no build record" in buildx(engine, context, "history", "rm", ref, fails=True)


def test_a_running_build_is_listed_and_followed(engine: engines.Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:test\nRUN echo begun; sleep 4711\n")
    process = start(engine, context, "build", "--progress=plain", ".")
    assert process.stdout is not None
    for line in process.stdout:
        if line.endswith(" begun\n"):
            break
    (one,) = records(engine, context)
    assert one["status"] == "Running"
    assert "(running)" in buildx(engine, context, "history", "inspect")
    ref = one["ref"].rpartition("/")[2]
    assert "is running" in buildx(engine, context, "history", "rm", ref, fails=True)
    following = start(engine, context, "history", "logs", ref)
    assert following.stdout is not None
    for line in following.stdout:
        if line.endswith(" begun\n"):
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    following.communicate(timeout=60)
    assert following.returncode == 0  # it ends with the build
    engines.until(lambda: len(records(engine, context, "--filter", "status=canceled")) == 1)


def test_records_outlive_the_engine(tmp_path: Path, context: Path) -> None:
    with engines.onggi(tmp_path / "own") as engine:
        engines.import_busybox(engine)
        whole = built(engine, context)
        (context / "Dockerfile").write_text("FROM busybox:test\nRUN echo begun; sleep 4711\n")
        process = start(engine, context, "build", "--progress=plain", ".")
        assert process.stdout is not None
        for line in process.stdout:
            if line.endswith(" begun\n"):
                break
        engine.kill()
        process.communicate(timeout=60)
        engine.start()
        cut, first = records(engine, context)
        assert (cut["status"], first["status"]) == ("Error", "Completed")
        assert "a line of output" in buildx(engine, context, "history", "logs", whole)
        said = buildx(engine, context, "history", "inspect", cut["ref"].rpartition("/")[2])
        assert "the engine ended while this build was running" in said
        assert engine.run("onggi", "system", "check", check=False).returncode == 0


def test_much_output_is_cut_and_said_to_be(engine: engines.Engine, context: Path) -> None:
    (context / "Dockerfile").write_text(
        f"FROM busybox:test\nRUN head -c {3 * LOGS_MAX} /dev/zero | tr '\\0' 'a' | fold -w 100\n"
        "RUN echo at the end\n"
    )
    ref = built(engine, context)
    logs = buildx(engine, context, "history", "logs", ref)
    assert len(logs) < 2 * LOGS_MAX and "the rest of the output is not kept" in logs
    (one,) = records(engine, context)
    assert one["completed_steps"] == one["total_steps"]  # states of steps are kept all the same


def ask(engine: engines.Engine, method: str, request: Any, reply: str) -> Any:
    async def work(channel: Any) -> Any:
        if reply == "BuildHistoryEvent":
            call = UnaryStreamMethod(channel, CONTROL + method, type(request), kind(reply))
            return await call(request)
        return await UnaryUnaryMethod(channel, CONTROL + method, type(request), kind(reply))(request)

    return with_client(engine, work)


def update(engine: engines.Engine, ref: str, **fields: bool) -> None:
    ask(engine, "UpdateBuildHistory", kind("UpdateBuildHistoryRequest")(Ref=ref, **fields), "Empty")


def test_pinned_records_and_wrong_requests(engine: engines.Engine, context: Path) -> None:
    ref = built(engine, context)
    update(engine, ref, Pinned=True)
    request = kind("BuildHistoryRequest")(EarlyExit=True, Ref=ref)
    (event,) = ask(engine, "ListenBuildHistory", request, "BuildHistoryEvent")
    assert event.record.pinned and event.type == 1
    for wrong in (
        kind("BuildHistoryRequest")(EarlyExit=True, Limit=-1),
        kind("BuildHistoryRequest")(EarlyExit=True, Filter=["owner==me"]),
        kind("BuildHistoryRequest")(EarlyExit=True, Filter=["ref~=("]),
        kind("BuildHistoryRequest")(EarlyExit=True, Filter=["startedAt>=yesterday"]),
    ):
        with pytest.raises(GRPCError, match=r"invalid|failed to parse"):
            ask(engine, "ListenBuildHistory", wrong, "BuildHistoryEvent")
    with pytest.raises(GRPCError, match="no build record"):
        update(engine, "../../etc/passwd", Delete=True)


def test_who_listens_hears_of_what_comes(engine: engines.Engine, context: Path) -> None:
    async def work(channel: Any) -> list[tuple[int, str]]:
        call = UnaryStreamMethod(
            channel, CONTROL + "ListenBuildHistory", kind("BuildHistoryRequest"), kind("BuildHistoryEvent")
        )
        heard = []
        async with call.open() as stream:
            await stream.send_message(kind("BuildHistoryRequest")(), end=True)
            await stream.recv_initial_metadata()
            ref = await asyncio.to_thread(built, engine, context)
            await asyncio.to_thread(buildx, engine, context, "history", "rm", ref)
            while len(heard) < 3:
                event = await asyncio.wait_for(stream.recv_message(), 60)
                assert event is not None
                if event.record.Ref == ref:
                    heard.append((event.type, event.record.Ref))
            await stream.cancel()
        return heard

    heard = with_client(engine, work)
    assert [type_ for type_, _ in heard] == [0, 1, 2]


def test_the_number_of_records_has_an_end(tmp_path: Path) -> None:
    from onggi.store import build_history as rows
    from onggi.store.database import Database

    with Database(str(tmp_path / "onggi.db")) as database:
        for number in range(30):
            rows.begin(database, f"r{number}", number + 1, b"record")
            rows.end(
                database, f"r{number}", number + 1, b"r" * 100, {"sha256:a": b"x", f"sha256:{number}": b"y"}
            )
        rows.pin(database, "r0", b"pinned", pinned=True)
        gone = rows.surplus(database, most=10, most_bytes=1 << 20)
        assert gone == [f"r{number}" for number in range(19, 0, -1)]
        few = rows.surplus(database, most=100, most_bytes=600)
        assert "r0" not in few and "r29" not in few and "r1" in few
        for ref in gone:
            assert rows.delete(database, ref)
        assert rows.blob(database, "sha256:a") == b"x" and rows.blob(database, "sha256:5") is None
        assert not rows.end(database, "r5", 1, b"late", {})
        assert time.time_ns() > rows.ended(database)[0].begun_at
