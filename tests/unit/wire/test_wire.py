"""The Engine API's JSON: lenient as Go on the way in, null, [] or nothing as dockerd on the way out."""

from __future__ import annotations

import json

import pytest

from onggi.errors import InvalidParameter
from onggi.wire.base import decode, encode
from onggi.wire.containers import (
    ContainerCreateRequest,
    ContainerInspectResponse,
    HostConfig,
    Mount,
    PortSummary,
)
from onggi.wire.system import EventMessage
from onggi.wire.volumes import Volume


def test_keys_match_without_case_and_null_leaves_the_default() -> None:
    request = decode(ContainerCreateRequest, b'{"image":"a","HOSTCONFIG":{"binds":null,"Memory":5},"nope":1}')
    assert request.image == "a"
    assert request.host_config.memory == 5
    assert request.host_config.binds == []


def test_a_command_may_be_one_string() -> None:
    assert decode(ContainerCreateRequest, b'{"Cmd":"ls","Entrypoint":["a","b"]}').cmd == ["ls"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"[]",
        b'"a"',
        b'{"Image":3}',
        b'{"HostConfig":{"Memory":"1"}}',
        b'{"Env":{}}',
        b"[" * 100_000,
    ],
)
def test_a_wrong_type_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidParameter, match="invalid JSON"):
        decode(ContainerCreateRequest, body)


def test_null_entries_of_maps_are_kept_where_docker_sends_them() -> None:
    body = b'{"ExposedPorts":{"80/tcp":null},"HostConfig":{"PortBindings":{"80/tcp":null}}}'
    request = decode(ContainerCreateRequest, body)
    assert request.exposed_ports == {"80/tcp": {}}
    assert request.host_config.port_bindings == {"80/tcp": None}


def test_emptiness_is_written_as_dockerd_does() -> None:
    written = json.loads(encode(HostConfig()))
    assert written["Binds"] is None
    assert written["Dns"] == []
    assert "Mounts" not in written
    assert "Init" not in written
    assert json.loads(encode(HostConfig(init=False)))["Init"] is False
    assert json.loads(encode(HostConfig(mounts=[Mount(type="bind", target="/a")])))["Mounts"] == [
        {"Type": "bind", "Target": "/a"}
    ]


def test_shape_reaches_nested_values_and_lists() -> None:
    written = json.loads(encode([ContainerInspectResponse(host_config=HostConfig())]))
    assert written[0]["HostConfig"]["CapAdd"] is None
    assert written[0]["State"]["FinishedAt"] == "0001-01-01T00:00:00Z"
    assert "SizeRw" not in written[0]
    assert json.loads(encode([PortSummary(private_port=80, type="tcp")])) == [
        {"PrivatePort": 80, "Type": "tcp"}
    ]


def test_volume_and_event_as_dockerd_writes_them() -> None:
    volume = Volume(name="v", driver="local", mountpoint="/m", created_at="2026-01-01T00:00:00Z")
    assert json.loads(encode(volume)) == {
        "CreatedAt": "2026-01-01T00:00:00Z",
        "Driver": "local",
        "Labels": None,
        "Mountpoint": "/m",
        "Name": "v",
        "Options": None,
        "Scope": "local",
    }
    assert "status" not in json.loads(encode(EventMessage(type="volume", action="create")))
