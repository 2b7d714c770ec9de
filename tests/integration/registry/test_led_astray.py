"""A registry that leads elsewhere, in circles or without end: each is named, and costs little."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator

import pytest

from onggi.images.images import Images
from onggi.registry import policy
from onggi.registry.credentials import Credentials
from tests import registries
from tests.integration.registry.test_hostile import changed, pull, put, refused
from tests.registries import OCI_INDEX, OCI_MANIFEST, SMALL, digest
from tests.scripted_registry import Handler, Scripted, scripted

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]


@pytest.fixture
def far() -> Iterator[Scripted]:
    """A registry whose address is not loopback."""
    with scripted(address=registries.own_address()) as one:
        one.serve("a/b", SMALL, "1")
        yield one


def to(url: str, what: str = "/v2/") -> object:
    def rule(handler: Handler) -> bool:
        if what not in handler.path:
            return False
        handler.answer(307, Location=url)
        return True

    return rule


@pytest.mark.parametrize("what", ["/manifests/", "/blobs/"])
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1"]
)
def test_a_far_registry_does_not_lead_to_this_machine(
    images: Images, far: Scripted, host: str, what: str
) -> None:
    with scripted() as inner:
        inner.serve("a/b", SMALL, "1")
        far.rules.append(to(f"http://{host}:{inner.port}/v2/a/b/manifests/1", what))  # type: ignore[arg-type]
        text = refused(images, far, insecure=(far.host,))
        assert "which is loopback" in text or "connection refused" in text or "no such host" in text
        assert inner.seen == []  # not a byte was sent


def test_a_near_registry_may_lead_to_this_machine(images: Images, registry: Scripted) -> None:
    with scripted() as second:
        second.serve("a/b", SMALL, "1")
        registry.rules.append(to(f"http://{second.host}/v2/a/b/blobs/{SMALL.layers[0]}", SMALL.layers[0]))  # type: ignore[arg-type]
        assert pull(images, registry).id == SMALL.id


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]"])
@pytest.mark.parametrize("near", [True, False])
def test_metadata_services_are_out_of_reach(
    images: Images, registry: Scripted, far: Scripted, host: str, near: bool
) -> None:
    one = registry if near else far
    for what in ("/manifests/", "/blobs/"):
        one.rules = [to(f"http://{host}:1/latest/meta-data", what)]  # type: ignore[list-item]
        text = refused(images, one, insecure=(far.host,))
        assert "link-local" in text or "Get " in text or "Head " in text
        assert "latest" not in text or host.strip("[]") in text


def test_a_token_server_on_this_machine_is_not_asked_for_a_far_registry(
    images: Images, far: Scripted
) -> None:
    with scripted() as inner:
        realm = f'Bearer realm="http://{inner.host}/token",service="s"'
        far.rules.append(lambda handler: handler.answer(401, b"{}", WWW_Authenticate=realm) or True)
        text = refused(images, far, insecure=(far.host,))
        assert "which is loopback" in text and inner.seen == []
        with pytest.raises(Exception, match="which is loopback"):
            pull(images, far, who=Credentials("ann", "secret"), insecure=(far.host,))
        assert inner.seen == []


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", policy.LOOPBACK), ("127.9.9.9", policy.LOOPBACK), ("::1", policy.LOOPBACK),
        ("::ffff:127.0.0.1", policy.LOOPBACK), ("0.0.0.0", policy.LOOPBACK), ("::", policy.LOOPBACK),
        ("169.254.169.254", policy.LINK_LOCAL), ("fe80::1%eth0", policy.LINK_LOCAL),
        ("::ffff:169.254.1.1", policy.LINK_LOCAL), ("10.0.0.1", policy.OTHER), ("2001:db8::1", policy.OTHER),
    ],
)  # fmt: skip
def test_kinds_of_addresses(address: str, kind: str) -> None:
    assert policy.kind(address) == kind


@pytest.mark.parametrize(
    "location", ["ftp://x/y", "http://", "http://a b/", "http://u:p@x/", "//", "http://x:99999/"]
)
def test_locations_that_are_none(images: Images, registry: Scripted, location: str) -> None:
    registry.rules.append(to(location, "/blobs/"))  # type: ignore[arg-type]
    text = refused(images, registry)
    assert "p@x" not in text


def test_an_index_that_leads_to_itself(images: Images, registry: Scripted) -> None:
    """A digest cannot be its own content's, so a registry must lie for a circle; the lie is seen."""
    name = "sha256:" + "ab" * 32
    entry = {"mediaType": OCI_INDEX, "digest": name, "size": 300}
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    registry.manifests["a/b/1"] = registry.manifests[f"a/b/{name}"] = (OCI_INDEX, index)
    registry.manifests[f"a/b/{digest(index)}"] = (OCI_INDEX, index)
    assert f"not {name}" in refused(images, registry)
    assert len(registry.seen) < 8


def test_a_wide_and_deep_index_costs_one_way_down(images: Images, registry: Scripted) -> None:
    """A thousand entries, four times over: one is chosen in each."""
    inner, media_type = SMALL.manifest, OCI_MANIFEST
    for _ in range(4):
        entry = {"mediaType": media_type, "digest": digest(inner), "size": len(inner)}
        many = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] * 1000}
        inner, media_type = json.dumps(many).encode(), OCI_INDEX
        put(registry, inner, OCI_INDEX)
    registry.seen.clear()
    assert pull(images, registry).id == SMALL.id
    assert len(registry.seen) < 20


def test_a_manifest_of_100_megabytes(images: Images, registry: Scripted) -> None:
    """Neither its announced size nor its bytes are taken."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sent: list[int] = []

    def large(handler: Handler) -> bool:
        if handler.command == "HEAD":
            handler.answer(405)
            return True
        if "/manifests/" not in handler.path:
            return False
        handler.send_response(200)
        handler.send_header("Content-Type", OCI_MANIFEST)
        handler.send_header("Content-Length", str(100 << 20))
        handler.end_headers()
        try:
            for _ in range(100):
                handler.wfile.write(b" " * (1 << 20))
                sent.append(1)
        except OSError:
            handler.close_connection = True
        return True

    registry.rules.append(large)
    assert "has more than 4194304 bytes" in refused(images, registry)
    assert len(sent) < 40
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 << 10


def test_sizes_that_are_none(images: Images, registry: Scripted) -> None:
    layers = json.loads(SMALL.manifest)["layers"]
    for size in (-1, 1 << 70, 0, "x", None, 1.5, layers[0]["size"] + 1, layers[0]["size"] - 1):
        put(registry, changed(SMALL, layers=[{**layers[0], "size": size}, layers[1]]))
        refused(images, registry)


def test_headers_that_mean_harm(images: Images, registry: Scripted) -> None:
    """Heads without end, and of the wrong kind."""
    for name, value in (
        ("Content-Length", "-5"), ("Content-Length", "9" * 30), ("Docker-Content-Digest", "sha256:../../x"),
        ("Content-Type", "x" * 5000), ("Location", "\x7f"), ("Link", "<" * 9000),
    ):  # fmt: skip

        def rule(handler: Handler, name: str = name, value: str = value) -> bool:
            if "/manifests/" not in handler.path:
                return False
            handler.send_response(200)
            handler.send_header(name, value)
            if name != "Content-Length":
                handler.send_header("Content-Length", "2")
            handler.end_headers()
            handler.wfile.write(b"{}")
            handler.close_connection = True
            return True

        registry.rules = [rule]
        refused(images, registry)

    def endless_head(handler: Handler) -> bool:
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
            for number in range(100_000):
                handler.wfile.write(b"X-%d: %s\r\n" % (number, b"y" * 1000))
        except OSError:
            pass
        handler.close_connection = True
        return True

    registry.rules = [endless_head]
    refused(images, registry)
