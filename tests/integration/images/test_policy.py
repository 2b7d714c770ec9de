"""The signature policy of a running engine: archives by transport, and a policy that is wrong."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests import engines
from tests.engines import BUSYBOX

pytestmark = [pytest.mark.root]


def test_load_and_import_obey_the_policy(tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    accept = [{"type": "insecureAcceptAnything"}]
    policy.write_text(json.dumps({"default": [{"type": "reject"}], "transports": {"tarball": {"": accept}}}))
    with engines.onggi(tmp_path, "--signature-policy", str(policy)) as engine:
        engines.import_busybox(engine)
        archive = tmp_path / "saved.tar"
        engine.docker("save", "-o", str(archive), BUSYBOX)
        engine.docker("rmi", BUSYBOX)
        refused = engine.run("docker", "load", "-i", str(archive), check=False)
        assert f"images by docker-archive: are rejected by policy (default[0] (reject) in {policy})" in (
            refused.stderr + refused.stdout
        )
        assert engine.api("GET", "/images/json") == []
        engine.run("onggi", "system", "check")


def test_an_engine_does_not_start_with_a_policy_that_is_wrong(tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "rejekt"}]}')
    root = ["--data-root", str(tmp_path / "root"), "--exec-root", str(tmp_path / "run")]
    command = [str(engines.ONGGI), "daemon", *root, "--signature-policy", str(policy)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert f"invalid policy in {policy}: default[0]: unknown policy requirement type 'rejekt'" in ended.stderr
