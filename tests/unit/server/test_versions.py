"""Answers and requests of older API versions."""

from __future__ import annotations

import json
from typing import Any

from onggi.server import older_requests, versions
from onggi.server.description import facts
from onggi.server.operations import TABLE
from onggi.wire.base import decode
from onggi.wire.containers import ContainerCreateRequest, ContainerInspectResponse, ExecCreateRequest
from onggi.wire.images import ImageConfig, ImageInspect, ImageSummary
from onggi.wire.networks import EndpointSettings
from onggi.wire.system import EventMessage


def shaped(path: str, version: tuple[int, int], value: object) -> Any:
    return json.loads(versions.body("GET", path, version, value))


def test_inspect_loses_the_old_network_settings_with_1_52() -> None:
    document = {
        "Id": "0123456789abcdef",
        "Config": {"Hostname": "host"},
        "NetworkSettings": {"IPAddress": "172.17.0.2", "Networks": {"mine": {}, "bridge": {}}},
    }
    value = decode(ContainerInspectResponse, json.dumps(document).encode())
    assert value.network_settings.networks["mine"] == EndpointSettings()
    new = shaped("/containers/{id}/json", (1, 55), value)["NetworkSettings"]
    assert "IPAddress" not in new
    assert "Bridge" not in new
    old = shaped("/containers/{id}/json", (1, 51), value)["NetworkSettings"]
    assert old["IPAddress"] == "172.17.0.2"
    assert old["Networks"]["mine"]["Aliases"] is None
    oldest = shaped("/containers/{id}/json", (1, 44), value)["NetworkSettings"]["Networks"]
    assert oldest["mine"]["Aliases"] == ["0123456789ab", "host"]
    assert not oldest["bridge"]["Aliases"]


def test_images_of_each_version() -> None:
    summary = [ImageSummary(id="x", size=7, containers=2)]
    new = shaped("/images/json", (1, 55), summary)[0]
    assert (new["Containers"], new["RepoTags"]) == (2, [])
    assert "VirtualSize" not in new
    old = shaped("/images/json", (1, 42), summary)[0]
    assert (old["Containers"], old["VirtualSize"], old["RepoTags"]) == (-1, 7, ["<none>:<none>"])
    assert old["RepoDigests"] == ["<none>@<none>"]


def test_inspected_image_of_each_version() -> None:
    value = ImageInspect(id="x", config=ImageConfig(cmd=["sh"]))
    new = shaped("/images/{name}/json", (1, 52), value)
    assert new["Config"] == {"Cmd": ["sh"]}
    assert not {"Parent", "Comment", "DockerVersion", "Author"} & set(new)
    assert shaped("/images/{name}/json", (1, 51), value)["Config"].keys() >= {"Env", "User", "Volumes"}
    old = shaped("/images/{name}/json", (1, 43), value)
    assert old["Config"]["AttachStdin"] is False
    assert old["Container"] == ""
    assert old["Created"] == "0001-01-01T00:00:00Z"


def test_events_lose_their_first_names_with_1_52() -> None:
    event = EventMessage(status="start", id="x", type="container", action="start")
    assert shaped("/events", (1, 51), event)["status"] == "start"
    assert "status" not in shaped("/events", (1, 52), event)


def test_an_older_request_does_not_say_what_its_version_did_not_have() -> None:
    body = {
        "Image": "x",
        "Healthcheck": {"StartInterval": 5},
        "HostConfig": {
            "AutoRemove": True, "Annotations": {"a": "b"}, "ConsoleSize": [1, 2], "CgroupnsMode": "private",
            "Mounts": [{"Type": "bind", "Source": "/s", "Target": "/t", "ReadOnly": True,
                        "BindOptions": {"CreateMountpoint": True}, "TmpfsOptions": {"Mode": 1}}],
        },
    }  # fmt: skip
    request = decode(ContainerCreateRequest, json.dumps(body).encode())
    assert older_requests.create(request, (1, 55)) is request
    host = older_requests.create(request, (1, 43)).host_config
    options = host.mounts[0].bind_options
    assert options is not None
    assert options.read_only_non_recursive
    assert host.annotations == {"a": "b"}
    oldest = older_requests.create(request, (1, 24))
    assert oldest.healthcheck is not None
    assert oldest.healthcheck.start_interval == 0
    host = oldest.host_config
    assert (host.annotations, host.console_size, host.cgroupns_mode) == ({}, None, "")
    assert (host.ipc_mode, host.auto_remove) == ("shareable", False)
    assert host.mounts[0].tmpfs_options is None


def test_an_older_exec() -> None:
    request = ExecCreateRequest(cmd=["x"], env=["A=1"], working_dir="/x", console_size=[1, 2])
    assert older_requests.exec_create(request, (1, 42)) is request
    oldest = older_requests.exec_create(request, (1, 24))
    assert (oldest.env, oldest.working_dir, oldest.console_size) == ([], "", None)


def test_every_operation_of_the_table_is_described() -> None:
    """A new route of Onggi's own gets its lines in server/description/onggi-api.txt."""
    known = facts.load().operations
    missing = [
        f"{method} {path}" for method, path, _ in TABLE if method != "HEAD" and (method, path) not in known
    ]
    assert not missing
