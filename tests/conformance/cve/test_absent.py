"""Holes in what is not there: each test says why its CVE cannot apply, and checks that this is still so."""

from __future__ import annotations

import struct

import pytest

from onggi.engine import config
from onggi.errors import InvalidParameter
from onggi.kernel import netlink
from tests import engines
from tests.engines import Engine


def test_cve_2021_43784_a_netlink_attribute_does_not_wrap_around() -> None:
    """runc sent its child a document in netlink's form, whose lengths are 16 bits. Ours are marshal's;
    where netlink is spoken to the kernel, a length that does not fit is an error and no smaller number.
    """
    with pytest.raises(struct.error):
        netlink.attribute(1, b"x" * 0xFFFF)


def test_cve_2024_41110_no_plugin_decides_about_requests() -> None:
    """A request without a body passed the authorization plugins. There are none; the access policy is asked
    by the verb, about the request as the verb has it (engine/access/own.py).
    """
    with pytest.raises(InvalidParameter, match="authorization-plugins"):
        config.parse({"authorization-plugins": ["opa"]})


@pytest.mark.root
def test_cve_2023_28842_no_overlay_network_that_could_be_unencrypted(onggi: Engine) -> None:
    """Swarm's encrypted overlay networks took packets that were not encrypted. There is no swarm."""
    asked = {"Name": "wide", "Driver": "overlay", "Options": {"encrypted": ""}}
    status, text = onggi.request("POST", "/networks/create", asked)
    assert status in (400, 403, 404, 503), text
    assert "wide" not in onggi.docker("network", "ls", "--format", "{{.Name}}").split()


@pytest.mark.root
def test_cve_2024_29018_names_asked_in_an_internal_network_stay_there(onggi: Engine) -> None:
    """The resolver is in the host's network: what it passed on left an internal network by that way."""
    onggi.docker("network", "create", "--internal", "inner")
    try:
        flags = ("--rm", "--network", "inner", engines.BUSYBOX)
        answer = onggi.run("docker", "run", *flags, "nslookup", "leak.example.org", "127.0.0.11", check=False)
        assert "Address" not in answer.stdout.partition("\n\n")[2]
        assert "REFUSED" in answer.stdout or "NXDOMAIN" in answer.stdout or "SERVFAIL" in answer.stdout, (
            answer
        )
    finally:
        onggi.docker("network", "rm", "inner")
