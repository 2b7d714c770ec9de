"""Base images that are not here: pulled from a registry that wants to know who asks."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests import engines, registries

pytestmark = pytest.mark.root


def test_a_base_is_pulled_with_the_credentials_of_the_client(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    with registries.registry(tmp_path, users={"ann": "word"}) as registry, engines.onggi(tmp_path) as engine:
        auth = base64.b64encode(b"ann:word").decode()
        (config / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))
        name = f"{registry.host}/base/busybox:1"
        engines.import_busybox(engine, "busybox:test")
        engine.docker("tag", "busybox:test", name)
        engine.docker("--config", str(config), "push", name)
        engine.docker("rmi", name, "busybox:test")
        dockerfile = f"FROM {name}\nRUN echo based\n".encode()
        nobody = engine.run("onggi", "--config", str(tmp_path), "build", "-", stdin=dockerfile, check=False)
        assert nobody.returncode == 1
        done = engine.run("onggi", "--config", str(config), "build", "-", stdin=dockerfile)
        assert " based\n" in done.stderr
        engine.docker("rmi", name)
        assert "based" in engine.docker("--config", str(config), "build", "--no-cache", "-", stdin=dockerfile)
        missing = engine.run(
            "onggi", "--config", str(config), "build", "-", check=False, stdin=f"FROM {name}2\n".encode()
        )
        assert missing.returncode == 1 and f"{name}2" in missing.stderr
