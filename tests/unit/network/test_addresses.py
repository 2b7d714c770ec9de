"""Subnets, addresses and the firewall's document: pure parts of the network room."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onggi.errors import Conflict, InvalidParameter, Unavailable
from onggi.kernel import netlink
from onggi.network import firewall, subnets
from onggi.network.addresses import Addresses, mac_text

NET = ipaddress.IPv4Network("10.1.2.0/29")


def test_choose_takes_the_first_pool_that_the_host_does_not_use() -> None:
    used = [("172.17.0.1", 16), ("172.18.4.0", 24), ("::1", 128), ("0.0.0.0", 0)]
    assert str(subnets.choose(subnets.DEFAULT_POOLS, used)) == "172.19.0.0/16"


def test_choose_says_when_nothing_is_left() -> None:
    with pytest.raises(Unavailable, match="fully subnetted"):
        subnets.choose([("10.0.0.0/24", 24)], [("10.0.0.128", 25)])


def test_choose_names_a_wrong_pool() -> None:
    with pytest.raises(InvalidParameter, match=r"10\.0\.0\.0/24 size 8"):
        subnets.choose([("10.0.0.0/24", 8)], [])


def test_addresses_are_given_in_turn_and_not_reused_at_once() -> None:
    addresses = Addresses(NET, "10.1.2.1")
    first = addresses.take()
    addresses.give_back(first)
    assert (first, addresses.take()) == ("10.1.2.2", "10.1.2.3")


def test_a_full_subnet_is_an_error_until_one_is_given_back() -> None:
    addresses = Addresses(NET, "10.1.2.1")
    taken = [addresses.take() for _ in range(5)]
    assert len(set(taken)) == 5
    with pytest.raises(Unavailable, match=r"10\.1\.2\.0/29"):
        addresses.take()
    addresses.give_back(taken[2])
    assert addresses.take() == taken[2]


def test_reserve_refuses_what_is_taken_or_foreign() -> None:
    addresses = Addresses(NET, "10.1.2.1")
    addresses.reserve("10.1.2.4")
    for wrong in ("10.1.2.4", "10.1.2.1", "10.1.3.1", "10.1.2.7"):
        with pytest.raises(Conflict, match=wrong):
            addresses.reserve(wrong)


def test_the_gateway_is_never_given_back() -> None:
    addresses = Addresses(NET, "10.1.2.1")
    addresses.give_back("10.1.2.1")
    assert "10.1.2.1" not in [addresses.take() for _ in range(5)]


def test_mac_is_dockers() -> None:
    assert mac_text("172.17.0.2") == "02:42:ac:11:00:02"


def test_firewall_document_empties_the_table_before_it_fills_it() -> None:
    rule = firewall.Masquerade(subnet="172.17.0.0/16", bridge="onggi0")
    commands = firewall.document("onggi", [rule])["nftables"]
    assert isinstance(commands, list)
    assert [next(iter(c)) + " " + next(iter(next(iter(c.values())))) for c in commands] == [
        "add table", "flush table", "add chain", "add rule",
    ]  # fmt: skip


@given(st.dictionaries(st.integers(1, 60), st.binary(max_size=40), max_size=8))
def test_attributes_read_what_attribute_wrote(values: dict[int, bytes]) -> None:
    data = b"".join(netlink.attribute(kind, value) for kind, value in values.items())
    assert netlink.attributes(data) == values


@given(st.binary(max_size=64))
def test_attributes_never_fail_on_foreign_bytes(data: bytes) -> None:
    netlink.attributes(data)
