"""Escapes through builds: mounts of steps, what is cleaned up after them, what a step may ask for.

Each test is named after its CVE and is shown to fail on a build without the protection (builds.py).
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from tests import engines
from tests.conformance.cve.builds import Build, Edit, held

pytestmark = pytest.mark.root


def built(engine: engines.Engine, *lines: str) -> str:
    """The answer to a build of a Dockerfile alone."""
    data = "\n".join(("FROM busybox:test", *lines, "")).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    status, body = engine.request("POST", "/build?networkmode=none", out.getvalue())
    assert status == 200, body
    return "".join(
        json.loads(line).get("stream", "") + json.loads(line).get("error", "")
        for line in body.splitlines()
        if line
    )


def test_cve_2024_23651_a_link_in_the_source_of_a_mount_leads_nowhere(room: Path) -> None:
    """BuildKit looked twice at a mount's source below a cache; a link that came between led to the host."""
    (room / "host-only").mkdir()
    (room / "host-only" / "secret").write_text("of the host")

    def attack(build: Build) -> bool:
        with build.engine(room) as engine:
            said = built(
                engine,
                "FROM busybox:test AS evil",
                f"RUN ln -s {room}/host-only /link",
                "FROM busybox:test",
                "RUN --mount=type=bind,from=evil,source=/link,target=/m cat /m/secret || true",
            )
        return "of the host" in said

    edits = (
        Edit("builder/solver/keys.py", 'if not source.strip("/"):', "if True:"),
        Edit(
            "builder/executors/step_mounts.py",
            'below = follow(root_fd, os.fsencode(each.source.strip("/")))',
            'below = os.fsencode(each.source.strip("/"))',
        ),
        Edit(
            "builder/executors/step_mounts.py",
            'below or b".", os.O_PATH, resolve=RESOLVE',
            'b".", os.O_PATH, resolve=RESOLVE',
        ),
    )
    held(attack, room, *edits)


def test_cve_2024_23652_what_is_cleaned_up_is_below_the_root(room: Path) -> None:
    """The place that was made for a mount is taken away afterwards: a step that puts a link on the way to it
    had a directory of the host's removed. Only copying snapshots have places in the step's own tree.
    """
    (room / "victim").mkdir()

    def attack(build: Build) -> bool:
        (room / "victim" / "place").mkdir(exist_ok=True)
        with build.engine(room, "--storage-driver", "native") as engine:
            built(
                engine, f"RUN --mount=type=tmpfs,target=/way/place mv /way /moved && ln -s {room}/victim /way"
            )
        return not (room / "victim" / "place").exists()

    held(
        attack,
        room,
        Edit(
            "images/places.py",
            'parent_fd = openat2(root_fd, directory or b".", os.O_PATH | os.O_DIRECTORY, resolve=RESOLVE)',
            'parent_fd = os.open(directory or b".", os.O_PATH | os.O_DIRECTORY, dir_fd=root_fd)',
        ),
    )


def test_cve_2024_23653_an_insecure_step_needs_leave(room: Path) -> None:
    """Whoever could start a build could have a step with all privileges. The classic API gives none leave."""

    def attack(build: Build) -> bool:
        with build.engine(room) as engine:
            said = built(engine, "RUN --security=insecure grep CapEff /proc/self/status")
        return "ffff" in said

    held(
        attack,
        room,
        Edit("builder/entitlements.py", "if wanted and not allowed:", "if False:"),
    )
