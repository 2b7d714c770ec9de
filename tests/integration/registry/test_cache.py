"""`onggi registry cache` between real clients and registries: shared, resumed, bounded, offline."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from onggi.daemon.registry_cache import options_of
from onggi.errors import InvalidParameter
from onggi.mirror.server import span
from tests import engines, registries
from tests.registries import Made, Registry, digest
from tests.scripted_registry import Handler, scripted

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]
MADE = registries.image([registries.layer({"a": os.urandom(300_000)}), registries.layer({"b": b"b" * 999})])
BLOB = MADE.layers[0]


@dataclass
class Running:
    """A cache's process."""

    process: subprocess.Popen[bytes]
    port: int
    root: Path
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def get(
        self, path: str, headers: dict[str, str] | None = None, method: str = "GET"
    ) -> tuple[int, dict[str, str], bytes]:
        return registries.request(self.port, method, path, headers=headers)

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)


@contextlib.contextmanager
def cache(root: Path, *flags: str) -> Iterator[Running]:
    root.parent.mkdir(parents=True, exist_ok=True)
    log = root.parent / f"{root.name}.log"
    command = [
        str(engines.ONGGI),
        "registry",
        "cache",
        "--root",
        str(root),
        "--listen",
        "127.0.0.1:0",
        *flags,
    ]
    with log.open("ab") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        known = len(re.findall(r"http://127", log.read_text()))

        def ready() -> list[str]:
            assert process.poll() is None, log.read_text()
            return re.findall(r"http://127.0.0.1:(\d+)", log.read_text())[known:]

        engines.until(ready, 60)
        yield Running(process, int(ready()[-1]), root, log)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registries.registry(tmp_path_factory.mktemp("upstream")) as one:
        registries.push(one, "team/app:1", MADE)
        registries.push(one, "library/hubbed:1", MADE)
        yield one


def test_what_is_cached_is_not_asked_for_again(tmp_path: Path, upstream: Registry) -> None:
    with cache(tmp_path / "c", "--upstream", upstream.host) as one:
        assert one.get("/v2/")[0] == 200
        first = one.get("/v2/team/app/manifests/1")
        assert (first[0], first[1]["x-cache"], first[2]) == (200, "miss", MADE.manifest)
        assert first[1]["content-type"] == registries.OCI_MANIFEST
        assert first[1]["docker-content-digest"] == MADE.digest
        assert one.get("/v2/team/app/manifests/1")[1]["x-cache"] == "hit"
        assert one.get(f"/v2/team/app/manifests/{MADE.digest}")[1]["x-cache"] == "hit"
        status, headers, body = one.get("/v2/team/app/manifests/1", method="HEAD")
        assert (status, headers["content-length"], body) == (200, str(len(MADE.manifest)), b"")
        for how in ("miss", "hit"):
            status, headers, data = one.get(f"/v2/team/app/blobs/{BLOB}")
            assert (status, headers["x-cache"], data) == (200, how, MADE.blobs[BLOB])
        assert one.get("/v2/team/app/tags/list")[2] == b'{"name":"team/app","tags":["1"]}'
        assert json.loads(one.get(f"/v2/team/app/referrers/{MADE.digest}")[2])["manifests"] == []
        assert one.stop() == 0
        assert sorted(path.name for path in (one.root / "oci/blobs/sha256").iterdir()) == sorted(
            name.removeprefix("sha256:") for name in (BLOB, MADE.digest)
        )


def test_ranges(tmp_path: Path, upstream: Registry) -> None:
    data = MADE.blobs[BLOB]
    with cache(tmp_path / "c", "--upstream", upstream.host) as one:
        for _ in ("coming", "here"):
            for header, expected in (
                ("bytes=0-9", data[:10]), ("bytes=100-", data[100:]), ("bytes=-7", data[-7:]),
                (f"bytes=5-{len(data) + 99}", data[5:]),
            ):  # fmt: skip
                status, headers, body = one.get(f"/v2/team/app/blobs/{BLOB}", {"Range": header})
                assert (status, body) == (206, expected), header
                assert headers["content-range"].endswith(f"/{len(data)}")
            for header in ("bytes=9-5", f"bytes={len(data)}-", "bytes=-0"):
                status, headers, _ = one.get(f"/v2/team/app/blobs/{BLOB}", {"Range": header})
                assert (status, headers["content-range"]) == (416, f"bytes */{len(data)}")
            for header in ("bytes=0-1,5-6", "lines=1-2", "bytes=x-", "bytes=-", "bytes"):  # ignored
                status, _, body = one.get(f"/v2/team/app/blobs/{BLOB}", {"Range": header})
                assert (status, body) == (200, data)


def test_spans() -> None:
    assert span("", 10) is None and span("bytes=2-4", 10) == (2, 5) and span("bytes=-20", 10) == (0, 10)
    assert span("bytes=3-", 10) == (3, 10) and span("bytes=" + "9" * 30 + "-", 10) is None
    with pytest.raises(IndexError):
        span("bytes=0-0", 0)


@pytest.mark.parametrize("which", ["onggi", "dockerd"])
def test_engines_pull_through_it(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, which: str
) -> None:
    """As registry-mirror; then the upstream is gone, and what was pulled can be pulled again."""
    if which == "dockerd" and not Path("/usr/sbin/dockerd").exists():
        pytest.skip("needs dockerd (Debian: docker.io)")
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(registries.registry(tmp_path))
        registries.push(upstream, "library/hubbed:1", MADE)
        one = stack.enter_context(cache(tmp_path / "c", "--upstream", f"docker.io={upstream.host}"))
        flags = ("--registry-mirror", f"http://127.0.0.1:{one.port}")
        short = tmp_path_factory.mktemp("d")  # containerd's sockets want a short path
        started = (
            engines.dockerd(short, *flags)
            if which == "dockerd"
            else engines.onggi(tmp_path, *flags, "--bridge", "none")
        )
        engine = stack.enter_context(started)
        engine.docker("pull", "hubbed:1")
        assert engine.api("GET", "/images/hubbed:1/json")["Id"] == MADE.id
        engine.docker("rmi", "-f", "hubbed:1")
        upstream.process.kill()
        upstream.process.wait()
        engine.docker("pull", "hubbed:1")
        assert "stale" in one.log and "hit" in one.log


def test_our_engine_names_the_registry_it_means(tmp_path: Path, upstream: Registry) -> None:
    """hosts.toml leads several registries to one cache; ?ns= tells them apart."""
    with registries.registry(tmp_path) as other, contextlib.ExitStack() as stack:
        second = registries.image([registries.layer({"second": b"2" * 5000})])
        registries.push(other, "team/app:1", second)
        flags = [f"one.example={upstream.host}", f"two.example={other.host}"]
        words = [word for flag in flags for word in ("--upstream", flag)]
        one = stack.enter_context(cache(tmp_path / "c", *words))
        for name in ("one.example", "two.example"):
            directory = tmp_path / "certs" / name
            directory.mkdir(parents=True)
            (directory / "hosts.toml").write_text(
                f'server = "http://127.0.0.1:1"\n[host."http://127.0.0.1:{one.port}"]\n'
            )
        engine = stack.enter_context(
            engines.onggi(tmp_path, "--certs-dir", str(tmp_path / "certs"), "--bridge", "none")
        )
        for name, made in (("one.example", MADE), ("two.example", second)):
            engine.onggi("pull", f"{name}/team/app:1")
            assert engine.api("GET", f"/images/{name}/team/app:1/json")["Id"] == made.id
        assert one.get("/v2/team/app/manifests/1?ns=three.example")[0] == 404


def test_several_clients_share_one_download(tmp_path: Path) -> None:
    data = os.urandom(1_000_000)
    made = registries.image([registries.layer({"big": data})], packed=False)
    blob = made.layers[0]
    go = threading.Event()
    with scripted() as script, cache(tmp_path / "c", "--upstream", script.host) as one:
        script.serve("a/b", made, "1")

        def slow(handler: Handler) -> bool:
            if handler.command == "GET" and blob in handler.path:
                whole = made.blobs[blob]
                handler.send_response(200)
                handler.send_header("Content-Length", str(len(whole)))
                handler.end_headers()
                handler.wfile.write(whole[:600_000])
                go.wait(60)
                handler.wfile.write(whole[600_000:])
                return True
            return False

        script.rules.append(slow)
        found: list[tuple[int, str, bytes]] = []

        def ask() -> None:
            status, headers, body = one.get(f"/v2/a/b/blobs/{blob}")
            found.append((status, headers["x-cache"], body))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        # Who wants the beginning has it while the rest is still on its way; it comes in chunks of 256 KiB.
        head = one.get(f"/v2/a/b/blobs/{blob}", {"Range": "bytes=0-99999"})
        assert (head[0], head[2]) == (206, made.blobs[blob][:100_000])
        go.set()
        for thread in threads:
            thread.join()
        assert {(status, body) for status, _, body in found} == {(200, made.blobs[blob])}
        assert sum(how in ("miss", "shared") for _, how, _ in found) >= 1
        asked = [path for path in script.paths() if blob in path]
        assert len(asked) == 1


def test_a_client_that_goes_away_does_not_end_the_download(tmp_path: Path, upstream: Registry) -> None:
    with cache(tmp_path / "c", "--upstream", upstream.host) as one:
        connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=60)
        connection.request("GET", f"/v2/team/app/blobs/{BLOB}")
        connection.getresponse().read(10)
        connection.close()
        engines.until(lambda: (one.root / "oci/blobs/sha256" / BLOB[7:]).exists())


def test_a_download_that_was_cut_off_goes_on_after_a_kill(tmp_path: Path) -> None:
    made = registries.image([registries.layer({"big": os.urandom(600_000)})], packed=False)
    blob, hold = made.layers[0], threading.Event()
    with scripted() as script:
        script.serve("a/b", made, "1")

        def half(handler: Handler) -> bool:
            if handler.command != "GET" or blob not in handler.path or hold.is_set():
                return False
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(made.blobs[blob])))
            handler.end_headers()
            handler.wfile.write(made.blobs[blob][:300_000])
            hold.wait(60)
            return True

        script.rules.append(half)
        left = tmp_path / "c/oci/partial" / blob[7:]
        with cache(tmp_path / "c", "--upstream", script.host) as one:

            def ask() -> None:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    one.get(_path(blob))

            asking = threading.Thread(target=ask)
            asking.start()
            engines.until(lambda: left.exists() and left.stat().st_size >= 256 << 10)
            one.stop(signal.SIGKILL)
            asking.join()
        hold.set()
        with cache(tmp_path / "c", "--upstream", script.host) as one:
            assert one.get(f"/v2/a/b/blobs/{blob}")[2] == made.blobs[blob]
        ranges = [headers.get("Range", "") for method, path, headers in script.seen if blob in path]
        assert any(found.startswith(("bytes=2", "bytes=3")) for found in ranges)


def _path(blob: str) -> str:
    return f"/v2/a/b/blobs/{blob}"


def test_the_disk_is_bounded_and_the_least_used_goes_first(tmp_path: Path) -> None:
    images = [registries.image([os.urandom(100_000)], packed=False) for _ in range(5)]
    with scripted() as script:
        for number, made in enumerate(images):
            script.serve("a/b", made, str(number))
        with cache(tmp_path / "c", "--upstream", script.host, "--max-size", "350000") as one:
            names = [made.layers[0] for made in images]

            def here() -> list[int]:
                found = {path.name for path in (one.root / "oci/blobs/sha256").iterdir()}
                return [number for number, name in enumerate(names) if name[7:] in found]

            for number in (0, 1, 2):
                assert one.get(f"/v2/a/b/blobs/{names[number]}")[0] == 200
                time.sleep(0.02)
            assert here() == [0, 1, 2]
            _age(one.root, names[1])  # as if nobody had wanted it for long
            assert one.get(f"/v2/a/b/blobs/{names[3]}")[2] == images[3].blobs[names[3]]
            assert here() == [0, 2, 3]
            assert one.get(f"/v2/a/b/blobs/{names[1]}")[0] == 200  # again
            size = sum(path.stat().st_size for path in (one.root / "oci").rglob("*") if path.is_file())
            assert size <= 350_000 + 1000
            large = os.urandom(400_000)
            script.blobs[digest(large)] = large
            status, _, body = one.get(f"/v2/a/b/blobs/{digest(large)}")
            assert status == 404 and b"more than the whole cache" in body


def _age(root: Path, name: str) -> None:
    import sqlite3

    with contextlib.closing(sqlite3.connect(root / "cache.db")) as database:
        database.execute("UPDATE blobs SET used_at = 1 WHERE digest = ?", (name,))
        database.commit()


def test_offline(tmp_path: Path, upstream: Registry) -> None:
    root = tmp_path / "c"
    with cache(root, "--upstream", upstream.host) as one:
        one.get("/v2/team/app/manifests/1")
        one.get(f"/v2/team/app/blobs/{BLOB}")
        one.stop()
    with cache(root, "--upstream", upstream.host, "--offline") as one:
        assert one.get("/v2/team/app/manifests/1")[2] == MADE.manifest
        assert one.get(f"/v2/team/app/blobs/{BLOB}")[2] == MADE.blobs[BLOB]
        assert json.loads(one.get("/v2/team/app/tags/list")[2])["tags"] == ["1"]
        for path in ("team/app/manifests/2", f"team/app/blobs/{MADE.layers[1]}", f"team/other/blobs/{BLOB}"):
            status, _, body = one.get(f"/v2/{path}")
            assert status == 404 and b"is offline (--offline) and does not hold" in body, path


def test_a_cache_that_was_damaged_mends_itself(tmp_path: Path, upstream: Registry) -> None:
    root = tmp_path / "c"
    with cache(root, "--upstream", upstream.host) as one:
        one.get(f"/v2/team/app/blobs/{BLOB}")
        one.get("/v2/team/app/manifests/1")
        one.stop()
    blobs = root / "oci/blobs/sha256"
    (blobs / BLOB[7:]).unlink()
    (blobs / ("f" * 64)).write_bytes(b"nobody's")
    with cache(root, "--upstream", upstream.host) as one:
        assert not (blobs / ("f" * 64)).exists()
        assert one.get(f"/v2/team/app/blobs/{BLOB}")[2] == MADE.blobs[BLOB]
        second = subprocess.run(
            [str(engines.ONGGI), "registry", "cache", "--root", str(root), "--listen", "127.0.0.1:0"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert second.returncode == 1 and "is held" in second.stderr
        one.stop()
    (root / "cache.db").write_bytes(b"no database" * 100)
    with cache(root, "--upstream", upstream.host) as one:
        assert one.get(f"/v2/team/app/blobs/{BLOB}")[2] == MADE.blobs[BLOB]


def test_an_upstream_that_lies(tmp_path: Path) -> None:
    """Nobody gets the last byte of a wrong blob; it is not kept."""
    made: Made = registries.image([b"\1" * 4096], packed=False)
    blob = made.layers[0]
    with scripted() as script, cache(tmp_path / "c", "--upstream", script.host) as one:
        script.serve("a/b", made, "1")
        script.blobs[blob] = b"\2" * 4096
        with pytest.raises(http.client.IncompleteRead):
            one.get(f"/v2/a/b/blobs/{blob}")
        assert not list((one.root / "oci/blobs/sha256").iterdir())
        assert not list((one.root / "oci/partial").iterdir())
        script.blobs[blob] = made.blobs[blob]
        assert one.get(f"/v2/a/b/blobs/{blob}")[2] == made.blobs[blob]
        script.manifests[f"a/b/{made.digest}"] = (registries.OCI_MANIFEST, b"{}")
        assert one.get(f"/v2/a/b/manifests/{made.digest}")[0] == 502
        script.rules.append(lambda handler: handler.answer(429, b"{}", Retry_After="99") or True)
        status, headers, _ = one.get("/v2/a/b/manifests/none")
        assert (status, headers["retry-after"]) == (429, "99")


def test_a_private_upstream(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    with registries.registry(tmp_path, users={"ann": "secret"}) as private:
        data = b"private" * 100
        made = registries.image([data], packed=False)
        _push_as_ann(private, made)
        with cache(tmp_path / "nobody", "--upstream", private.host) as one:
            assert one.get("/v2/private/manifests/1")[0] == 404
        auth = "YW5uOnNlY3JldA=="
        (config / "config.json").write_text(json.dumps({"auths": {private.host: {"auth": auth}}}))
        with cache(tmp_path / "ann", "--upstream", private.host, "--config", str(config)) as one:
            assert one.get("/v2/private/manifests/1")[2] == made.manifest
            assert one.get(f"/v2/private/blobs/{made.layers[0]}")[2] == data
            assert "secret" not in one.log and auth not in one.log


def _push_as_ann(one: Registry, made: Made) -> None:
    who = {"Authorization": "Basic YW5uOnNlY3JldA=="}
    for name, data in made.blobs.items():
        _, headers, _ = one.request("POST", "/v2/private/blobs/uploads/", headers=who)
        location = headers["location"].split("/", 3)[3]
        assert one.request("PUT", f"/{location}&digest={name}", data, who)[0] == 201
    kind = {"Content-Type": registries.OCI_MANIFEST, **who}
    assert one.request("PUT", "/v2/private/manifests/1", made.manifest, kind)[0] == 201


def test_requests_that_mean_harm(tmp_path: Path, upstream: Registry) -> None:
    with cache(tmp_path / "c", "--upstream", upstream.host) as one:
        for path in (
            "/", "/v2/x", "/v2/a/b/manifests/", "/v2/../../etc/passwd/blobs/sha256:" + "0" * 64,
            "/v2/a/blobs/../../x", "/v2/A/manifests/1", "/v2/a/manifests/" + "t" * 200, "/v2/a/blobs/md5:00",
            "/v2/a/tags/none", "/v2/a/manifests/1?ns=evil.example", "/v2/a%00b/manifests/1",
            "/v2/evil.example/a/manifests/1%2f",
        ):  # fmt: skip
            assert one.get(path)[0] in (400, 404), path
        assert one.get("/v2/team/app/manifests/1", {"Host": "attacker.example"})[0] == 400
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert one.get("/v2/team/app/blobs/uploads/", method=method)[0] == 405
        assert one.get("/v2/team/app/manifests/1")[0] == 200  # it goes on


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--listen", "0.0.0.0:5000"], "refused to listen on 0.0.0.0:5000"),
        (["--listen", "nothing"], "host:port is meant"),
        (["--upstream", "http://x/y"], "invalid upstream"),
        (["--upstream", "a=b/c"], "invalid upstream"),
        (["--max-size", "much"], "invalid size: 'much'"),
        (["--max-size", "0"], "invalid size: '0'"),
        (["--insecure-registry", "-x"], "Cannot begin or end with a hyphen"),
        (["--log-level", "loud"], "invalid log level"),
    ],
)
def test_options_that_are_wrong(words: list[str], message: str) -> None:
    from onggi.cli.flags import parse
    from onggi.daemon.registry_cache import FLAGS

    with pytest.raises(InvalidParameter) as caught:
        options_of(parse(FLAGS, words)[0])
    assert message in caught.value.message
