"""Pruning images: Docker's filters, last use, newest of each repository, and the plan of a dry run."""

from __future__ import annotations

import json
import re
import sqlite3
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import engines
from tests.engines import BUSYBOX, Engine

pytestmark = [pytest.mark.root]
DAY = 24 * 3600 * 10**9


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engines.onggi(tmp_path) as running:
        engines.import_busybox(running)
        yield running


def make(engine: Engine, name: str, *, label: str = "", content: bytes = b"") -> str:
    """An image of one layer of its own under the name."""
    from tests.integration.images import test_images_hostile as archives

    repository, _, tag = name.partition(":")
    query = {"fromSrc": "-", "repo": repository, "tag": tag, "changes": f"LABEL made={label or 'x'}"}
    data = archives.tar(("bytes", content or name.encode()))
    engine.api("POST", "/images/create?" + urllib.parse.urlencode(query), data)
    return str(engine.api("GET", f"/images/{name}/json")["Id"])


def sql(engine: Engine, statement: str, *values: object) -> list[Any]:
    with sqlite3.connect(engine.root / "onggi.db", timeout=10) as database:
        return database.execute(statement, values).fetchall()


def prune(engine: Engine, *, dry: bool = False, **wanted: list[str]) -> Any:
    given = urllib.parse.quote(
        json.dumps({name.replace("_", "-"): values for name, values in wanted.items()})
    )
    return engine.api("POST", f"/images/prune?filters={given}" + ("&dry-run=1" if dry else ""))


def tags(engine: Engine) -> set[str]:
    return {tag for one in engine.api("GET", "/images/json") for tag in one["RepoTags"]}


def test_what_was_not_used_for_long_goes_and_a_start_is_a_use(engine: Engine) -> None:
    for name in ("old:1", "ran:1", "fresh:1"):
        make(engine, name)
    sql(engine, "UPDATE images SET used_at = used_at - ?, created_at = created_at - ?", 40 * DAY, 90 * DAY)
    sql(engine, "UPDATE images SET used_at = used_at + ? WHERE id IN (SELECT image_id FROM names"
                " WHERE name LIKE '%fresh%')", 39 * DAY)  # fmt: skip
    engine.docker("tag", BUSYBOX, "ran:2")
    engine.docker("run", "--rm", "--network", "none", "ran:2", "true")
    everything = {"dangling": ["false"], "unused_for": ["30d"]}
    planned = prune(engine, dry=True, **everything)
    assert {tag for one in planned["Plan"] for tag in one["RepoTags"]} == {"old:1", "ran:1"}
    assert "old:1" in tags(engine)
    done = prune(engine, **everything)
    assert done["ImagesDeleted"] == planned["ImagesDeleted"]
    assert done["SpaceReclaimed"] == planned["SpaceReclaimed"] > 0
    assert "Plan" not in done
    assert tags(engine) == {BUSYBOX, "ran:2", "fresh:1"}
    engine.run("onggi", "system", "check")


def test_the_newest_of_each_repository_stay(engine: Engine) -> None:
    ids = {}
    for number in range(4):
        for repository in ("app", "web"):
            ids[f"{repository}:{number}"] = make(engine, f"{repository}:{number}")
    for name, image_id in ids.items():
        sql(engine, "UPDATE images SET created_at = ? WHERE id = ?", int(name[-1]) * DAY + 1, image_id)
    engine.docker("tag", "app:0", "web:again")  # counts in both, and is the oldest there too
    said = engine.onggi("image", "prune", "--all", "--keep", "2", "--dry-run", "--filter", "until=24h")
    assert "app:1" in said and "web:0" in said and "busybox" not in said
    assert re.search(r"Total reclaimable space: [\d.]+k?B", said)
    assert len(tags(engine)) == 10
    engine.onggi("image", "prune", "--force", "--all", "--keep", "2")
    assert tags(engine) == {BUSYBOX, "app:2", "app:3", "web:2", "web:3"}
    refused = engine.run("onggi", "image", "prune", "--force", "--keep", "2", check=False)
    assert refused.returncode == 1 and "give --all" in refused.stderr
    status, text = engine.request("POST", "/images/prune?filters=%7B%22keep%22%3A%5B%222%22%5D%7D")
    assert status == 400 and b"dangling=false" in text


def test_docker_s_own_filters(engine: Engine) -> None:
    make(engine, "a:1", label="one")
    make(engine, "b:1", label="two")
    engine.docker("image", "prune", "-af", "--filter", "label!=made=one", "--filter", "label=made")
    assert tags(engine) == {BUSYBOX, "a:1"}
    engine.docker("image", "prune", "-af", "--filter", "label=made=none")
    engine.docker("image", "prune", "-af", "--filter", "until=24h")
    assert tags(engine) == {BUSYBOX, "a:1"}
    engine.docker("create", "--name", "keeps", "--network", "none", BUSYBOX)
    engine.docker("image", "prune", "-af")
    assert tags(engine) == {BUSYBOX}
    refused = engine.run("docker", "image", "prune", "-f", "--filter", "unused-for=soon", check=False)
    assert "invalid duration" in refused.stderr


def test_shared_layers_are_counted_with_the_image_that_frees_them(engine: Engine) -> None:
    content = b"s" * 100_000
    make(engine, "one:1", label="1", content=content)
    make(engine, "two:1", label="2", content=content)
    plan = prune(engine, dry=True, dangling=["false"], label=["made"])["Plan"]
    assert len(plan) == 2
    assert plan[0]["Reclaimed"] < 20_000 < 200_000 < plan[1]["Reclaimed"] + plan[0]["Reclaimed"]
    only = prune(engine, dry=True, dangling=["false"], label=["made=1"])
    assert only["SpaceReclaimed"] < 20_000
