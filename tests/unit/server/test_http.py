"""HTTP/1.1 as clients of the Engine API speak it, byte by byte over a real socket."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PING = b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n"


async def talk(path: str, data: bytes, *, eof: bool = True, limit: float = 30) -> bytes:
    """Send, close our half, and return everything that comes back."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(data)
        if eof:
            writer.write_eof()
        async with asyncio.timeout(limit):
            return await reader.read(-1)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def head_and_body(path: str, data: bytes) -> tuple[int, bytes, bytes]:
    answer = await talk(path, data)
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


async def until(fact: object, limit: float = 30) -> None:
    async with asyncio.timeout(limit):
        while not fact():  # type: ignore[operator]
            await asyncio.sleep(0.005)


async def test_ping_and_its_headers(probe: SimpleNamespace) -> None:
    status, head, body = await head_and_body(probe.path, PING)
    assert (status, body) == (200, b"OK")
    for name in (
        b"Api-Version: 1.55",
        b"Docker-Experimental: false",
        b"Ostype: linux",
        b"Server: ",
        b"Date: ",
    ):
        assert name in head


async def test_head_has_no_body(probe: SimpleNamespace) -> None:
    _, head, body = await head_and_body(probe.path, b"HEAD /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and body == b""


async def test_pipelined_requests_are_answered_in_order(probe: SimpleNamespace) -> None:
    requests = PING + b"GET /conflict HTTP/1.1\r\nHost: d\r\n\r\n" + PING
    answer = await talk(probe.path, requests)
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"409", b"200"]


@pytest.mark.parametrize(
    ("version", "status", "message"),
    [
        ("v1.24", 200, ""),
        ("v1.55", 200, ""),
        ("v1.56", 400, "client version 1.56 is too new. Maximum supported API version is 1.55"),
        ("v2.0", 400, "client version 2.0 is too new. Maximum supported API version is 1.55"),
        (
            "v1.23",
            400,
            "client version 1.23 is too old. Minimum supported API version is 1.24, "
            "please upgrade your client to a newer version",
        ),
        ("v999999999999999999999", 400, ""),
    ],
)
async def test_versions(probe: SimpleNamespace, version: str, status: int, message: str) -> None:
    found, _, body = await head_and_body(
        probe.path, f"GET /{version}/_ping HTTP/1.1\r\nHost: d\r\n\r\n".encode()
    )
    assert found == status
    if message:
        assert json.loads(body) == {"message": message}


@pytest.mark.parametrize("target", ["/", "/nope", "/v1.41/nope", "/v1.41", "/_ping/", "/v1.41/_ping/x"])
async def test_unknown_paths(probe: SimpleNamespace, target: str) -> None:
    status, _, body = await head_and_body(probe.path, f"GET {target} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
    assert (status, json.loads(body)) == (404, {"message": "page not found"})


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("//_ping", "/_ping"),
        ("/v1.41//_ping?a=b%20c", "/v1.41/_ping?a=b%20c"),
        ("/a/../_ping", "/_ping"),
        ("/./_ping/", "/_ping/"),
        ("/a%2F%2Fb%20c", "/a/b%20c"),
        ("/../../etc", "/etc"),
    ],
)
async def test_unclean_paths_are_sent_to_the_clean_one(
    probe: SimpleNamespace, target: str, place: str
) -> None:
    status, head, _ = await head_and_body(probe.path, f"GET {target} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
    assert status == 301 and f"location: {place}\r\n".encode() in bytes(head).lower() + b"\r\n"


async def test_errors_become_statuses(probe: SimpleNamespace) -> None:
    status, _, body = await head_and_body(probe.path, b"GET /conflict HTTP/1.1\r\nHost: d\r\n\r\n")
    assert (status, json.loads(body)) == (409, {"message": "the name is taken"})
    status, head, body = await head_and_body(probe.path, b"GET /same HTTP/1.1\r\nHost: d\r\n\r\n")
    assert (status, body) == (304, b"") and b"Content-Type" not in head
    status, _, body = await head_and_body(probe.path, b"GET /bug HTTP/1.1\r\nHost: d\r\n\r\n")
    assert status == 500 and b"secret" not in body and b"KeyError" in body


async def test_names_with_slashes_and_escapes(probe: SimpleNamespace) -> None:
    for name in ("a/b/c:1", "a%2Fb%2Fc:1"):
        _, _, body = await head_and_body(
            probe.path, f"GET /images/{name}/json HTTP/1.1\r\nHost: d\r\n\r\n".encode()
        )
        assert body == b"a/b/c:1"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", "False 0"),
        ("f=1&n=5", "True 5"),
        ("f=None", "False 0"),
        ("f=yes&n=-3", "True -3"),
        ("f=", "False 0"),
    ],
)
async def test_query_as_dockerd_reads_it(probe: SimpleNamespace, query: str, body: str) -> None:
    found = await head_and_body(probe.path, f"GET /query?{query} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
    assert found[2].decode() == body


async def test_a_number_that_is_none(probe: SimpleNamespace) -> None:
    status, _, body = await head_and_body(probe.path, b"GET /query?n=abc HTTP/1.1\r\nHost: d\r\n\r\n")
    assert (status, json.loads(body)["message"]) == (400, 'strconv.Atoi: parsing "abc": invalid syntax')


def post(path: str, body: bytes, *more: str) -> bytes:
    head = [
        f"POST {path} HTTP/1.1",
        "Host: d",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*head, *more, "", ""]).encode() + body


async def test_json_bodies(probe: SimpleNamespace) -> None:
    assert (await head_and_body(probe.path, post("/json", b'{"name":"v","x":1}')))[::2] == (201, b"v")
    for body in (b"", b"x", b'{"Name":1}'):
        assert (await head_and_body(probe.path, post("/json", body)))[0] == 400
    plain = post("/json", b"{}").replace(b"application/json", b"text/plain")
    assert b"must be 'application/json'" in (await head_and_body(probe.path, plain))[2]


async def test_too_large_a_body_is_413_and_the_answer_arrives(probe: SimpleNamespace) -> None:
    assert (await head_and_body(probe.path, post("/json", b" " * (6 << 20))))[0] == 413


async def test_chunked_bodies_and_an_unread_one(probe: SimpleNamespace) -> None:
    head = b"POST /count HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert (await head_and_body(probe.path, head + b"5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n"))[2] == b"8"
    assert (await head_and_body(probe.path, head + b"zz\r\n"))[0] == 400
    assert (await head_and_body(probe.path, head + b"5\r\nhe"))[0] == 400  # cut off
    assert (await talk(probe.path, post("/ignore", b"x" * 1000) + PING)).count(b"200") == 2
    assert (await talk(probe.path, post("/ignore", b"x" * (1 << 20)))).count(b"ignored") == 1


async def test_a_client_that_waits_for_100_continue(probe: SimpleNamespace) -> None:
    reader, writer = await asyncio.open_unix_connection(probe.path)
    head, body = post("/count", b"hello", "Expect: 100-continue").split(b"\r\n\r\n")
    writer.write(head + b"\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
    writer.write(body)
    assert b"200" in await reader.readuntil(b"\r\n\r\n")
    assert await reader.readexactly(1) == b"5"
    writer.close()


@pytest.mark.parametrize("vanish", ["close", "half"])
async def test_a_stream_ends_with_its_client(probe: SimpleNamespace, vanish: str) -> None:
    reader, writer = await asyncio.open_unix_connection(probe.path)
    writer.write(b"GET /forever HTTP/1.1\r\nHost: d\r\n\r\n")
    assert b"first" in await reader.readuntil(b"first\n\r\n")
    if vanish == "half":
        writer.write_eof()
    else:
        writer.close()
    await until(lambda: probe.module.ended == 1)
    writer.close()


async def test_a_client_that_closed_before_its_stream_began(probe: SimpleNamespace) -> None:
    _, writer = await asyncio.open_unix_connection(probe.path)
    writer.write(b"GET /forever HTTP/1.1\r\nHost: d\r\n\r\n")
    writer.write_eof()
    writer.close()
    await until(lambda: probe.module.ended == probe.module.begun == 1 or not probe.server._connections)
    await until(lambda: not probe.server._connections)


async def test_a_body_is_read_while_the_answer_is_written(probe: SimpleNamespace) -> None:
    reader, writer = await asyncio.open_unix_connection(probe.path)
    writer.write(b"POST /both HTTP/1.1\r\nHost: d\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000))
    async with asyncio.timeout(10):
        await reader.readuntil(b"begun\n")  # what follows is not read away
        (connection,) = probe.server._connections
        await until(lambda: not connection._writable)  # now both wait: for bytes, and for room
        writer.write(bytes(999_000))
        rest = await reader.read(-1)
    assert b"1000000" in rest
    writer.close()


async def test_a_client_that_stops_sending_does_not_hold_up_the_end(probe: SimpleNamespace) -> None:
    _, writer = await asyncio.open_unix_connection(probe.path)
    writer.write(b"POST /receive HTTP/1.1\r\nHost: d\r\nContent-Length: 1000\r\n\r\nhalf")
    await until(lambda: probe.module.begun)
    await probe.server.close(0.05)
    await until(lambda: probe.module.ended)
    writer.close()


async def test_a_client_that_does_not_read_holds_nobody_up(probe: SimpleNamespace) -> None:
    _, writer = await asyncio.open_unix_connection(probe.path)
    writer.write(b"GET /flood HTTP/1.1\r\nHost: d\r\n\r\n")
    await until(lambda: probe.module.begun > 1)
    for _ in range(20):
        assert (await head_and_body(probe.path, PING))[0] == 200
    assert probe.module.begun < 50  # back-pressure: the stream stands still
    writer.close()
    await until(lambda: probe.module.ended == 1)


async def test_hijack_with_an_upgrade_keeps_early_bytes(probe: SimpleNamespace) -> None:
    reader, writer = await asyncio.open_unix_connection(probe.path)
    writer.write(post("/hijack", b"{}", "Connection: Upgrade", "Upgrade: tcp") + b"early")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\n") and b"Upgrade: tcp" in head
    assert b"application/vnd.docker.multiplexed-stream" in head
    await until(lambda: probe.module.held)
    sock, early = probe.module.held[0]
    assert early == b"early"
    sock.setblocking(True)
    sock.sendall(b"hello")
    assert await reader.readexactly(5) == b"hello"
    writer.write(b"more")
    assert await asyncio.to_thread(sock.recv, 10) == b"more"
    writer.write_eof()
    assert await asyncio.to_thread(sock.recv, 10) == b""
    sock.sendall(b"last")
    sock.close()
    assert await reader.read(-1) == b"last"
    writer.close()


async def test_hijack_the_old_way(probe: SimpleNamespace) -> None:
    data = b"POST /v1.40/hijack HTTP/1.1\r\nHost: d\r\n\r\nearly"
    reader, writer = await asyncio.open_unix_connection(probe.path)
    writer.write(data)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and b"application/vnd.docker.raw-stream" in head
    await until(lambda: probe.module.held)
    assert probe.module.held[0].early == b"early"
    probe.module.held[0].sock.close()
    writer.close()


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0",
        b"GET\r\n\r\n",
        b"GET / HTTP/3.0\r\n\r\n",
        b"x" * (200 << 10),
        b"GET / HTTP/1.1\r\nA: " + b"x" * (200 << 10),
    ],
)
async def test_bytes_that_are_not_http(probe: SimpleNamespace, data: bytes) -> None:
    answer = await talk(probe.path, data)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431", b"HTTP/1.1 505"))


def _requests() -> st.SearchStrategy[bytes]:
    lines = st.sampled_from(
        [
            PING,
            b"POST /count HTTP/1.1\r\n",
            b"POST /json HTTP/1.1\r\n",
            b"GET /forever HTTP/1.1\r\n",
            b"GET /v1.41/images/%ff%00/json?filters={ HTTP/1.1\r\n",
            b"Host: d\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Content-Length: 5\r\n",
            b"Content-Length: 99999999999\r\n",
            b"Upgrade: tcp\r\nConnection: Upgrade\r\n",
            b"Expect: 100-continue\r\n",
            b"\r\n",
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
        ]
    )
    return st.lists(st.one_of(lines, st.binary(max_size=40)), max_size=12).map(b"".join)


@given(data=_requests())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_bytes_harm_the_server(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever comes: an answer or a close, no connection is left, and the next client is served."""
    asyncio.run(_throw(tmp_path_factory.mktemp("s"), data))


async def _throw(directory: object, data: bytes) -> None:
    import socket
    import sys

    from onggi.server.server import Server
    from tests.unit.server.conftest import TABLE, Probe

    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    sys.modules["onggi.server.api.probe"] = Probe()
    path = f"{directory}/s"
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    sock.bind(path)
    async with Server(SimpleNamespace(access=None, audit=None), TABLE) as server:
        await server.listen(sock)
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(data)
        writer.write_eof()
        await asyncio.sleep(0)
        writer.close()
        assert b"200" in await talk(path, PING)
    assert not server._connections
    assert faults == []
