"""What the default bridge leaves on the host after an orderly end: nothing, and a place that may be taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import engines

pytestmark = pytest.mark.root


def test_an_end_without_containers_leaves_no_bridge_and_the_subnet_may_be_taken(tmp_path: Path) -> None:
    """Two engines in turn: the second takes the first one's subnet, so the first one moves."""
    body = {"Image": engines.BUSYBOX, "Cmd": ["true"]}

    def subnet(engine: engines.Engine) -> str:
        cid = engine.api("POST", "/containers/create", body)["Id"]
        engine.api("POST", f"/containers/{cid}/start")
        engine.api("POST", f"/containers/{cid}/wait")
        engine.api("DELETE", f"/containers/{cid}")
        return str(engine.api("GET", "/networks/bridge")["IPAM"]["Config"][0]["Subnet"])

    with engines.onggi(tmp_path / "one") as one:
        engines.import_busybox(one)
        first = subnet(one)
        one.stop()
        assert engines.leftovers(one) == []
        with engines.onggi(tmp_path / "two") as two:
            engines.import_busybox(two)
            assert subnet(two) == first
            one.start()
            assert subnet(one) != first


def test_a_network_that_came_and_went_leaves_no_rules(tmp_path: Path) -> None:
    with engines.onggi(tmp_path) as engine:
        engine.api("POST", "/networks/create", {"Name": "brief"})
        engine.api("DELETE", "/networks/brief")
        engine.stop()
        assert engines.leftovers(engine) == []
