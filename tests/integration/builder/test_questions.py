"""Questions about a Dockerfile through both doors: checks in BuildKit's words, outlines, targets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import engines
from tests.buildx import buildx

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
DOCKERFILE = """# check=skip=StageNameCasing
ARG BASE=busybox:test
# first is where it begins
FROM $BASE as first
# VERSION of the program
ARG VERSION=1
RUN --mount=type=secret,id=token,required=true --mount=type=ssh echo $VERSION $UNKNOWN

FROM nowhere.example/none:1 AS Second
WORKDIR relative
CMD echo hi
"""


@pytest.fixture
def context(context: Path) -> Path:
    (context / "Dockerfile").write_text(DOCKERFILE)
    return context


def test_checks(engine: engines.Engine, context: Path) -> None:
    out = buildx(engine, context, "build", "--check", ".", fails=True)
    assert "Check complete, 3 warnings have been found!" in out
    rules = {"FromAsCasing": "from-as-casing", "WorkdirRelativePath": "workdir-relative-path"}
    for rule, slug in {**rules, "JSONArgsRecommended": "json-args-recommended"}.items():
        assert f"WARNING: {rule} - https://docs.docker.com/go/dockerfile/rule/{slug}/" in out
    assert "   4 | >>> FROM $BASE as first" in out
    said = engine.run("onggi", "build", "--check", str(context), check=False)
    assert said.returncode == 1 and said.stdout.startswith("Check complete, ")
    assert [line for line in said.stdout.splitlines() if "WARNING" in line] == [
        line for line in out.splitlines() if "WARNING" in line
    ]
    (context / "Dockerfile").write_text("FROM busybox:test\nRUN true\n")
    assert "Check complete, no warnings found." in buildx(engine, context, "build", "--check", ".")
    assert engine.onggi("build", "--check", str(context)) == "Check complete, no warnings found.\n"


def test_checks_of_what_cannot_be_built(engine: engines.Engine, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox:test\nRUNN true\n")
    out = buildx(engine, context, "build", "--check", ".", fails=True)
    assert "unknown instruction: RUNN" in out and ">>> RUNN true" in out
    said = engine.run("onggi", "build", "--check", str(context), check=False)
    assert said.returncode == 1 and "unknown instruction: RUNN" in said.stderr
    (context / "Dockerfile").write_text("# check=error=true\nFROM busybox:test as x\n")
    out = buildx(engine, context, "build", "--progress=plain", ".", fails=True)
    assert "lint violation found for rules: FromAsCasing" in out


def test_an_outline(engine: engines.Engine, context: Path) -> None:
    out = buildx(engine, context, "build", "--call=outline,format=json", "--target", "first", ".")
    found = json.loads(out[out.index("{") :])
    assert (found["name"], found["description"]) == ("first", "is where it begins")
    assert [(one["name"], one["value"]) for one in found["args"]] == [
        ("BASE", "busybox:test"),
        ("VERSION", "1"),
    ]
    assert found["args"][1]["description"] == "of the program"
    assert found["secrets"][0]["name"] == "token" and found["secrets"][0]["required"] and found["ssh"]
    table = buildx(engine, context, "build", "--call=outline", "--target", "first", ".")
    assert "BUILD ARG   VALUE          DESCRIPTION" in table
    assert engine.onggi("build", "--call=outline", "--target", "first", str(context)).strip() in table


def test_targets(engine: engines.Engine, context: Path) -> None:
    out = buildx(engine, context, "build", "--call=targets", ".")
    assert "first            is where it begins" in out and "second (default)" in out
    assert engine.onggi("build", "--call=targets", str(context)).rstrip() in out
    assert "invalid call" in engine.run("onggi", "build", "--call=odd", str(context), check=False).stderr
