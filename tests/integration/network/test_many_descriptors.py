"""An engine with more than a thousand descriptors still writes rules (select(2), FD_SETSIZE)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.engines import BUSYBOX, TOP, Engine

pytestmark = pytest.mark.root
PORTS = 1100
RULES = """
import os, resource
from onggi.kernel import namespaces, nftables
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
namespaces.unshare(namespaces.CLONE_NEWNET)
held = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
nftables.run("add table inet told\\n")
assert "told" in nftables.run("list tables\\n")
try:
    nftables.run("nonsense\\n")
except OSError as error:
    assert "syntax error" in str(error)
assert all(os.fstat(fd) for fd in held)
"""


def test_rules_are_written_with_a_high_descriptor() -> None:
    environment = {**os.environ, "PYTHONPATH": str(TOP / "src")}
    done = subprocess.run([sys.executable, "-c", RULES], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_more_than_a_thousand_ports(onggi: Engine) -> None:
    """Each published port is a socket that the daemon holds."""
    ports = {f"{port}/tcp": [{"HostPort": ""}] for port in range(1, PORTS)}
    body = {"Image": BUSYBOX, "Cmd": ["sleep", "1000"], "HostConfig": {"PortBindings": ports}}
    made = onggi.api("POST", "/containers/create", body)["Id"]
    try:
        onggi.api("POST", f"/containers/{made}/start", timeout=120)
        found = onggi.api("GET", f"/containers/{made}/json")["NetworkSettings"]["Ports"]
        assert len({bound[0]["HostPort"] for bound in found.values()}) == PORTS - 1
        onggi.docker("run", "--rm", BUSYBOX, "true")
    finally:
        onggi.api("DELETE", f"/containers/{made}?force=1", timeout=120)
    assert onggi.answers()
