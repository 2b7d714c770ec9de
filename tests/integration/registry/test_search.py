"""Searching: a registry that answers /v1/search, as ours and a real dockerd ask it, and one that does not."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests import engines, registries
from tests.engines import Engine
from tests.registries import Registry
from tests.scripted_registry import Handler, Scripted, scripted

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

FOUND = [
    {"name": "library/alpine", "description": "Small,\nvery small: " + "x" * 60, "star_count": 900,
     "is_official": True, "is_automated": False},
    {"name": "ann/alpine", "description": "Hers", "star_count": 3, "is_official": False,
     "is_automated": True},
    {"name": "bob/alpine", "description": "", "star_count": 0, "is_official": False, "is_automated": False},
]  # fmt: skip


@pytest.fixture(scope="module")
def index() -> Iterator[Scripted]:
    """Answers /v1/search as Docker Hub does."""

    def rule(handler: Handler) -> bool:
        url = urlsplit(handler.path)
        if url.path == "/v1/_ping":
            handler.answer(200, b"{}", X_Docker_Registry_Version="0.6", X_Docker_Registry_Standalone="true")
            return True
        if url.path != "/v1/search":
            return False
        words = parse_qs(url.query, keep_blank_values=True)
        term, limit = words["q"][0], int(words["n"][0])
        body = b"{" if term == "broken" else json.dumps({"results": FOUND[:limit], "query": term}).encode()
        if term == "endless":
            body = b'{"results": [' + b" " * (5 << 20)
        handler.answer(503 if term == "down" else 200, body)
        return True

    with scripted() as one:
        one.rules.append(rule)
        yield one


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engines.onggi(tmp_path_factory.mktemp("search"), "--bridge", "none") as running:
        yield running


@pytest.mark.parametrize("which", ["onggi", "dockerd"])
def test_the_api(which: str, engine: Engine, index: Scripted, request: pytest.FixtureRequest) -> None:
    asked = engine if which == "onggi" else request.getfixturevalue("dockerd")
    asked.request("GET", "/_ping")

    def search(**words: str) -> object:
        query = "&".join(f"{name}={quote(value)}" for name, value in words.items())
        status, data = asked.request("GET", f"/images/search?{query}")
        return json.loads(data) if status == 200 else (status, json.loads(data)["message"])

    term = f"{index.host}/alpine"
    every = search(term=term)
    assert [one["name"] for one in every] == [one["name"] for one in FOUND]  # type: ignore[attr-defined]
    assert every[0]["star_count"] == 900 and every[0]["is_official"] is True  # type: ignore[index]
    assert parse_qs(urlsplit(index.paths()[-1]).query) == {"q": ["alpine"], "n": ["25"]}
    assert len(search(term=term, limit="2")) == 2  # type: ignore[arg-type]
    official = search(term=term, filters=json.dumps({"is-official": ["true"]}))
    assert [one["name"] for one in official] == ["library/alpine"]  # type: ignore[attr-defined]
    stars = search(term=term, filters=json.dumps({"stars": ["1", "3"], "is-official": ["false"]}))
    assert [one["name"] for one in stars] == ["ann/alpine"]  # type: ignore[attr-defined]
    for words, message in (
        ({"limit": "101"}, "outside the range of [1, 100]"),
        ({"limit": "x"}, 'strconv.Atoi: parsing "x": invalid syntax'),
        ({"filters": '{"stars": ["many"]}'}, "invalid filter 'stars=many'"),
        ({"filters": '{"is-official": ["perhaps"]}'}, "invalid filter 'is-official"),
        ({"filters": '{"since": ["x"]}'}, "invalid filter"),
    ):
        status, text = search(term=term, **words)  # type: ignore[misc]
        assert message in text.replace("Invalid", "invalid")
        assert status == 400 or which == "dockerd"  # 20.10 says 500 for some of these, 28 does not
    status, text = search(term=f"http://{index.host}/alpine")  # type: ignore[misc]
    assert "should not have a scheme" in text or which == "dockerd"  # 20.10 has other words


def test_our_command_prints_what_dockers_prints(engine: Engine, index: Scripted) -> None:
    term = f"{index.host}/alpine"
    for words in (
        [],
        ["--no-trunc"],
        ["--limit", "1"],
        ["--filter", "stars=3"],
        ["-f", "is-official=false", "--format", "{{.Name}}: {{.StarCount}} {{.IsOfficial}}"],
        ["--format", "json"],
        ["--format", "table {{.Name}}\t{{.StarCount}}"],
    ):
        ours, theirs = (engine.run(client, "search", *words, term) for client in ("onggi", "docker"))
        assert ours.stdout == theirs.stdout, words
    assert "\u2026" in engine.onggi("search", term)
    for words, text in (
        (["--limit", "101"], "limit 101 is outside the range of [1, 100]"),
        (["--filter", "since=x"], "invalid filter 'since'"),
    ):
        for client in ("onggi", "docker"):
            done = engine.run(client, "search", *words, term, check=False)
            assert done.returncode == 1 and text in done.stderr
    both = [
        engine.run(client, "search", "--filter", "is-automated=true", term) for client in ("onggi", "docker")
    ]
    assert both[0].stdout == both[1].stdout and both[0].stderr == both[1].stderr


def test_answers_that_mean_harm(engine: Engine, index: Scripted) -> None:
    for term, text in (
        ("broken", "error decoding registry search results"),
        ("endless", "has more than"),
    ):
        done = engine.run("onggi", "search", f"{index.host}/{term}", check=False)
        assert done.returncode == 1 and text in done.stderr and index.host in done.stderr


def test_a_private_registry_is_asked_for_its_catalog(engine: Engine, tmp_path: Path) -> None:
    made = registries.image([registries.layer({"x": os.urandom(64)})])
    with registries.registry(tmp_path) as plain:
        for name in ("tools/git", "tools/hg", "web"):
            registries.push(plain, f"{name}:1", made)
        shown = engine.onggi("search", "--format", "{{.Name}} {{.Description}}", f"{plain.host}/tool")
        assert shown.splitlines() == [
            f"tools/git (from the catalog of {plain.host})",
            f"tools/hg (from the catalog of {plain.host})",
        ]
        assert engine.docker("search", "--format", "{{.Name}}", f"{plain.host}/tool").split() == [
            "tools/git", "tools/hg",
        ]  # fmt: skip
        assert len(engine.onggi("search", "--limit", "1", f"{plain.host}/").splitlines()) == 2


def test_a_registry_that_does_neither_says_so(engine: Engine) -> None:
    with scripted() as one:
        done = engine.run("onggi", "search", f"{one.host}/x", check=False)
        assert done.returncode == 1
        assert "does not answer searches" in done.stderr and "does not list its repositories" in done.stderr


def test_a_registry_that_wants_a_password(engine: Engine, tmp_path: Path) -> None:
    made = registries.image([registries.layer({"x": b"y"})])
    with registries.registry(tmp_path, users={"ann": "secret"}) as private:
        config = tmp_path / "config"
        config.mkdir()
        assert "authentication required" in engine.run(
            "onggi", "--config", str(config), "search", f"{private.host}/p", check=False
        ).stderr  # fmt: skip
        login = ["login", "-u", "ann", "--password-stdin", private.host]
        engine.run("onggi", "--config", str(config), *login, stdin=b"secret")
        push_as(private, made)
        shown = engine.run(
            "onggi", "--config", str(config), "search", "--format", "{{.Name}}", f"{private.host}/p"
        )
        assert shown.stdout.split() == ["private"]


def push_as(one: Registry, made: registries.Made) -> None:
    """As registries.push, with ann's password."""
    import base64

    who = {"Authorization": "Basic " + base64.b64encode(b"ann:secret").decode()}
    for digest, data in made.blobs.items():
        status, headers, _ = one.request("POST", "/v2/private/blobs/uploads/", headers=who)
        assert status == 202
        location = headers["location"].split("/", 3)[3]
        assert one.request("PUT", f"/{location}&digest={digest}", data, who)[0] == 201
    kind = {"Content-Type": registries.OCI_MANIFEST, **who}
    assert one.request("PUT", "/v2/private/manifests/1", made.manifest, kind)[0] == 201
