"""A registry that means harm, or fails: each fault is named, bounded, and the store stays as it was."""

from __future__ import annotations

import gzip
import json
import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from onggi.engine.images.pulling import Pull, Pulled
from onggi.errors import OnggiError
from onggi.images import collect
from onggi.images.images import Images
from onggi.images.progress import Progress
from onggi.registry.credentials import Credentials
from onggi.registry.endpoints import Settings
from onggi.registry.registries import Registries
from onggi.spec import platform as platforms
from onggi.spec import reference
from tests import registries
from tests.registries import OCI_INDEX, OCI_MANIFEST, SMALL, Made, digest
from tests.scripted_registry import Handler, Scripted, scripted

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(120),
]

AMD64 = platforms.parse("linux/amd64")
STEP = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 19  # `make fuzz` takes every byte


def pull(
    images: Images, one: Scripted, name: str = "a/b:1", who: Credentials | None = None, **settings: Any
) -> Pulled:
    everything = Registries(Settings(**settings), user_agent="test", first_pause_s=0.001)
    said: list[Progress] = []
    with everything.job(who or Credentials()) as job:
        puller = Pull(images, job, said.append, wanted=AMD64, downloads=3, policy=None)
        return puller.one(reference.parse(name if "://" in name else f"{one.host}/{name}"))


def refused(images: Images, one: Scripted, name: str = "a/b:1", **settings: Any) -> str:
    """The error of a pull that must fail and leave nothing but partial blobs."""
    before = stored(images)
    with pytest.raises(OnggiError) as caught:
        pull(images, one, name, **settings)
    assert stored(images) == before
    for name in os.listdir(images.blobs.partial_dir):  # what came well is kept for the next try
        path = Path(images.blobs.partial_dir, name)
        assert (path.stat().st_size < 1 << 22 and name in digest(path.read_bytes())) or name in one.unfinished
    assert all(not thread.name.startswith("unpack-") for thread in threading.enumerate())
    return caught.value.message


def stored(images: Images) -> tuple[list[str], list[str]]:
    return sorted(os.listdir(images.blobs.blobs_dir)), sorted(os.listdir(images.paths.snapshots_dir))


def partial(images: Images) -> int:
    names = os.listdir(images.blobs.partial_dir)
    return sum(os.stat(f"{images.blobs.partial_dir}/{name}").st_size for name in names)


def changed(made: Made, **change: Any) -> bytes:
    return json.dumps({**json.loads(made.manifest), **change}).encode()


def put(one: Scripted, data: bytes, media_type: str = OCI_MANIFEST, tag: str = "1") -> None:
    for name in (tag, digest(data)):
        one.manifests[f"a/b/{name}"] = (media_type, data)


def test_a_pull_is_one_round_trip_when_all_is_here(images: Images, registry: Scripted) -> None:
    assert pull(images, registry).changed
    registry.seen.clear()
    again = pull(images, registry)
    assert (again.id, again.changed) == (SMALL.id, False)
    assert [method for method, _, _ in registry.seen] == ["HEAD"]


@pytest.mark.parametrize("which", ["HEAD", "manifest", "config", "layer"])
def test_an_answer_cut_at_any_byte_is_asked_for_again(images: Images, registry: Scripted, which: str) -> None:
    """Every nineteenth (or STEP) byte of each answer of the protocol, heads included."""
    config = json.loads(SMALL.manifest)["config"]["digest"]
    registry.cut_path = {"config": config, "layer": SMALL.layers[0]}.get(which, "/manifests/1")
    position, end = 0, 1
    while position < end:
        if which == "manifest":
            registry.rules = [lambda handler: handler.command == "HEAD" and no_head(handler)]
        registry.cut = position
        assert pull(images, registry).id == SMALL.id, position
        assert registry.cut == -1
        end = registry.answer_bytes
        position += STEP
        with images.lock, images.database.transaction():
            images.database.write("DELETE FROM names")
            images.database.write("DELETE FROM images")
        collect.collect(images)
    assert position > 100


def no_head(handler: Handler) -> bool:
    handler.script.cut, kept = -1, handler.script.cut
    handler.answer(405)
    handler.script.cut = kept
    return True


def test_a_layer_goes_on_where_it_was_cut(images: Images, registry: Scripted) -> None:
    big = registries.image([registries.layer({"big": os.urandom(3 << 20)})])
    registry.serve("a/b", big, "1")
    registry.cut_path, registry.cut = big.layers[0], 2 << 20
    pull(images, registry)
    asked = [headers.get("Range") for _, path, headers in registry.seen if big.layers[0] in path]
    assert len(asked) == 2 and asked[0] is None
    start = int(str(asked[1]).removeprefix("bytes=").partition("-")[0])
    assert 1 << 20 < start < 2 << 20


def test_a_pull_that_failed_is_gone_on_with(images: Images, registry: Scripted) -> None:
    big = registries.image([registries.layer({"big": os.urandom(3 << 20)})])
    registry.serve("a/b", big, "1")

    def half(handler: Handler) -> bool:
        if big.layers[0] not in handler.path:
            return False
        if "Range" in handler.headers:
            handler.answer(403, b"{}")
            return True
        data = big.blobs[big.layers[0]]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[: 2 << 20])
        handler.close_connection = True
        return True

    registry.rules = [half]
    registry.unfinished = big.layers[0]
    refused(images, registry)
    assert partial(images) >= 1 << 20
    registry.rules, registry.seen = [], []
    pull(images, registry)
    (asked,) = [headers for _, path, headers in registry.seen if big.layers[0] in path]
    assert asked["Range"].startswith("bytes=")
    assert partial(images) == 0


def test_wrong_digests_and_sizes(images: Images, registry: Scripted) -> None:
    layer = SMALL.layers[1]
    right = registry.blobs[layer]
    registry.blobs[layer] = right[:-1] + b"x"
    assert f"blob {layer} is corrupt" in refused(images, registry)
    registry.blobs[layer] = right + b"more"
    assert f"blob {layer} is corrupt: it has {len(right) + 4} bytes" in refused(images, registry)
    registry.blobs[layer] = right
    config = json.loads(SMALL.manifest)["config"]["digest"]
    registry.blobs[config] = b"{}"
    assert f"blob {config} is corrupt" in refused(images, registry)
    registry.blobs[config] = SMALL.config
    registry.manifests[f"a/b/{SMALL.digest}"] = (OCI_MANIFEST, changed(SMALL, annotations={"a": "b"}))
    assert "is corrupt" in refused(images, registry, f"a/b@{SMALL.digest}")


def test_a_body_without_end(images: Images, registry: Scripted) -> None:
    layer, sent = SMALL.layers[0], []

    def endless(handler: Handler) -> bool:
        if layer not in handler.path and "/manifests/2" not in handler.path:
            return False
        handler.send_response(200)
        handler.send_header("Content-Type", OCI_MANIFEST)
        handler.send_header("Connection", "close")
        handler.end_headers()
        try:
            while len(sent) < 200:
                handler.wfile.write(b"\0" * (1 << 20))
                sent.append(1)
        except OSError:
            pass
        handler.close_connection = True
        return True

    registry.rules = [endless]
    assert f"blob {layer} is corrupt" in refused(images, registry)
    assert "has more than 4194304 bytes" in refused(images, registry, "a/b:2")
    assert len(sent) < 60


def test_a_layer_that_decompresses_for_ever_ends_with_the_disk_or_its_size(
    images: Images, registry: Scripted
) -> None:
    """40 MB of zeros in 40 kB are no tar: unpacking ends at once, and the download with it."""
    bomb = gzip.compress(b"\x01" * (40 << 20), 9)
    made = registries.image([registries.layer({"a": b""})])
    manifest = json.loads(made.manifest)
    manifest["layers"][0] |= {"digest": digest(bomb), "size": len(bomb)}
    registry.blobs |= {**made.blobs, digest(bomb): bomb}
    put(registry, json.dumps(manifest).encode())
    text = refused(images, registry)
    assert "tar" in text or digest(bomb) in text
    assert partial(images) == 0


def test_manifests_that_mean_harm(images: Images, registry: Scripted) -> None:
    put(registry, b"[" * 200_000)
    assert "is not JSON" in refused(images, registry)
    put(registry, changed(SMALL, manifests=[]))
    assert "is ambiguous" in refused(images, registry)
    put(registry, changed(SMALL, mediaType=OCI_INDEX))
    assert "its header says" in refused(images, registry)
    layers = json.loads(SMALL.manifest)["layers"]
    put(registry, changed(SMALL, layers=layers * 300))
    assert "max depth exceeded" in refused(images, registry)
    put(registry, changed(SMALL, layers=layers[:1]))
    assert "layers length mismatch: expected 2, got 1" in refused(images, registry)
    put(registry, changed(SMALL, layers=[{**layers[0], "mediaType": "x/y+encrypted"}, layers[1]]))
    assert f"layer {layers[0]['digest']} is encrypted" in refused(images, registry)
    put(registry, changed(SMALL, layers=[{**layers[0], "digest": "sha256:../../etc"}, layers[1]]))
    assert "invalid" in refused(images, registry)
    put(registry, changed(SMALL, config={**json.loads(SMALL.manifest)["config"], "mediaType": ""}))
    assert "is neither an image nor an artifact" in refused(images, registry)


def test_indexes_that_lead_nowhere(images: Images, registry: Scripted) -> None:
    inner = SMALL.manifest
    for _ in range(6):
        entry = {"mediaType": OCI_INDEX, "digest": digest(inner), "size": len(inner)}
        if inner is SMALL.manifest:
            entry["mediaType"] = OCI_MANIFEST
        inner = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
        put(registry, inner, OCI_INDEX)
    assert "is deeper than 4" in refused(images, registry)
    entry = {"mediaType": OCI_MANIFEST, "digest": SMALL.digest, "size": 1}
    many = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] * 1001}
    put(registry, json.dumps(many).encode(), OCI_INDEX)
    assert "has 1001 entries, 1000 at most" in refused(images, registry)


def test_tries_again_as_the_registry_asks_and_not_after_4xx(images: Images, registry: Scripted) -> None:
    statuses = [503, 429, 500]

    def failing(handler: Handler) -> bool:
        if not statuses or SMALL.layers[0] not in handler.path:
            return False
        handler.answer(statuses.pop(), b"{}", Retry_After="0")
        return True

    registry.rules = [failing]
    assert pull(images, registry).id == SMALL.id and statuses == []
    registry.seen.clear()
    registry.rules = [lambda handler: handler.answer(403, b'{"errors":[{"code":"DENIED"}]}') or True]
    assert "pull access denied for" in refused(images, registry, "a/c:1")
    assert registry.paths() == ["/v2/a/c/manifests/1"]
    registry.rules = [
        lambda handler: handler.answer(429, b"{}", Retry_After="0", RateLimit_Remaining="0;w=9") or True
    ]
    assert "rate limit remaining: 0;w=9" in refused(images, registry, "a/c:1")
    registry.seen.clear()
    limits = {"RateLimit_Limit": "100;w=21600", "RateLimit_Remaining": "0;w=21600", "Retry_After": "3600"}
    registry.rules = [lambda handler: handler.answer(429, b"{}", **limits) or True]
    text = refused(images, registry, "a/c:1")  # an hour is not waited for, and not overrun
    assert "rate limit remaining: 0;w=21600, limit: 100;w=21600, retry after: 3600" in text
    assert len(registry.seen) <= 2


def test_redirects(images: Images, registry: Scripted) -> None:
    """Credentials stay with the host that they are for; metadata services are out of reach."""
    who = Credentials("ann", "secret")
    with scripted() as other:
        other.serve("a/b", SMALL, "1")

        def away(handler: Handler) -> bool:
            if "Authorization" not in handler.headers:
                handler.answer(401, b"{}", WWW_Authenticate='Basic realm="x"')
                return True
            if "/blobs/" not in handler.path:
                return False
            handler.answer(307, Location=f"http://{other.host}{handler.path}")
            return True

        registry.rules = [away]
        pull(images, registry, who=who)
        assert other.seen and all("Authorization" not in headers for _, _, headers in other.seen)
    registry.rules = [lambda handler: handler.answer(302, Location="http://169.254.169.254/latest") or True]
    text = refused(images, registry)
    assert "169.254.169.254" in text
    registry.rules = [lambda handler: handler.answer(302, Location=handler.path) or True]
    assert "more than 5 redirects" in refused(images, registry)


def test_tokens(images: Images, registry: Scripted) -> None:
    who = Credentials("ann", "secret")
    given = "Basic YW5uOnNlY3JldA=="

    def guarded(handler: Handler) -> bool:
        if handler.path.startswith("/token"):
            good = handler.headers.get("Authorization") == given
            body = msgspec.json.encode({"token": "T0ken"}) if good else b"{}"
            handler.answer(200 if good else 401, body)
            return True
        if handler.headers.get("Authorization") == "Bearer T0ken":
            return False
        challenge = f'Bearer realm="http://{registry.host}/token",service="s",scope="repository:a/b:pull"'
        handler.answer(401, b"{}", WWW_Authenticate=challenge)
        return True

    registry.rules = [guarded]
    assert pull(images, registry, who=who).id == SMALL.id
    asked = [path for path in registry.paths() if path.startswith("/token")]
    assert asked == ["/token?service=s&scope=repository%3Aa%2Fb%3Apull&account=ann"]
    assert "secret" not in refused(images, registry, "a/b:none")
    registry.rules = [guarded]
    assert "authentication required" in refused(images, registry, "a/c:1")


def test_mirrors_and_offline(images: Images, registry: Scripted, tmp_path: Path) -> None:
    """registries.conf leads elsewhere; a mirror that lacks a layer leaves it to the registry itself."""
    with scripted() as mirror:
        mirror.manifests = dict(registry.manifests)
        mirror.blobs = {name: data for name, data in registry.blobs.items() if name != SMALL.layers[0]}
        conf = tmp_path / "registries.conf"
        conf.write_text(
            f'[[registry]]\nprefix = "{registry.host}/a"\nlocation = "{registry.host}/a"\n'
            f'[[registry.mirror]]\nlocation = "{mirror.host}/a"\n'
            f'[[registry]]\nprefix = "{registry.host}/bad"\nblocked = true\n'
        )
        assert "is offline" in refused(images, registry, registries_conf=str(conf), offline=True)
        assert pull(images, registry, registries_conf=str(conf)).id == SMALL.id
        assert mirror.paths("HEAD") and registry.paths() == [f"/v2/a/b/blobs/{SMALL.layers[0]}"]
        assert "is blocked in" in refused(images, registry, "bad/x:1", registries_conf=str(conf))


def test_hosts_toml(images: Images, registry: Scripted, tmp_path: Path) -> None:
    directory = tmp_path / "certs" / "example.invalid"
    directory.mkdir(parents=True)
    (directory / "hosts.toml").write_text(
        f'server = "http://{registry.host}"\n'
        '[host."http://127.0.0.1:1"]\ncapabilities = ["pull", "resolve"]\n'
    )
    everything = Registries(
        Settings(certs_dirs=(str(tmp_path / "certs"),)), user_agent="test", first_pause_s=0.001
    )
    with everything.job(Credentials()) as job:
        puller = Pull(images, job, lambda line: None, wanted=AMD64, downloads=1, policy=None)
        assert puller.one(reference.parse("example.invalid/a/b:1")).id == SMALL.id
