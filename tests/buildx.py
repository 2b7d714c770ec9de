"""The real buildx on an engine under test, in a configuration directory of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests import engines

CLIENTS = Path(os.environ.get("ONGGI_CLIENTS", "/var/cache/onggi/clients"))
BUILDX = CLIENTS / "buildx-v0.24.0/docker-buildx"
COMPOSE = CLIENTS / "compose-v2.36.2/docker-compose"


def need() -> None:
    """Skip where it was not built."""
    if not BUILDX.exists():
        pytest.skip(f"{BUILDX} is missing: run scripts/go-client buildx")


def start(engine: engines.Engine, context: Path, *args: str, **env: str) -> subprocess.Popen[str]:
    config = context.parent / "config"
    config.mkdir(exist_ok=True)
    return subprocess.Popen(
        [str(BUILDX), *args], cwd=context, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={
            "PATH": os.environ["PATH"], "HOME": str(config), "DOCKER_CONFIG": str(config),
            "DOCKER_HOST": f"unix://{engine.socket}", **env,
        },
    )  # fmt: skip


def buildx(engine: engines.Engine, context: Path, *args: str, fails: bool = False, **env: str) -> str:
    process = start(engine, context, *args, **env)
    try:
        out, _ = process.communicate(timeout=100)
    finally:
        process.kill()
    assert (process.returncode != 0) == fails, out
    return out
