"""Subnets, addresses and the firewall's document: pure parts of the network room."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onggi.errors import Conflict, Forbidden, InvalidParameter, Unavailable
from onggi.kernel import netlink
from onggi.network import firewall, firewall_iptables, subnets
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
    for taken in ("10.1.2.4", "10.1.2.1"):
        with pytest.raises(Forbidden, match="Address already in use"):
            addresses.reserve(taken)
    for foreign in ("10.1.3.1", "10.1.2.7"):
        with pytest.raises(Conflict, match=foreign):
            addresses.reserve(foreign)


def test_the_gateway_is_never_given_back() -> None:
    addresses = Addresses(NET, "10.1.2.1")
    addresses.give_back("10.1.2.1")
    assert "10.1.2.1" not in [addresses.take() for _ in range(5)]


def test_mac_is_dockers() -> None:
    assert mac_text("172.17.0.2") == "02:42:ac:11:00:02"


def test_firewall_script_empties_the_table_before_it_fills_it() -> None:
    segment = firewall.Segment(bridge="onggi0", subnets=("172.17.0.0/16",))
    port = firewall.Port(
        protocol="tcp", host_address="", host_port=80, address="172.17.0.2", port=8080, bridge="onggi0"
    )
    lines = firewall.script("onggi", firewall.Rules(segments=(segment,), ports=(port,))).splitlines()
    assert lines[:2] == ["add table inet onggi", "flush table inet onggi"]
    assert "add element inet onggi any4 { tcp . 80 : 172.17.0.2 . 8080 }" in lines
    forward = [line for line in lines if line.startswith("add rule inet onggi forward")]
    assert forward[-1].endswith("drop")


def test_an_internal_segment_neither_masquerades_nor_forwards() -> None:
    segment = firewall.Segment(bridge="br-x", subnets=("10.1.0.0/24",), internal=True)
    text = firewall.script("onggi", firewall.Rules(segments=(segment,)))
    assert 'oifname != "br-x" ip saddr' not in text
    assert text.index('iifname { "br-x" } drop') < text.index('iifname { "br-x" } oifname')


def test_iptables_says_the_same_without_the_other_family() -> None:
    segment = firewall.Segment(bridge="br-x", subnets=("10.1.0.0/24", "fd00::/64"))
    text = firewall_iptables.script("ONGGI", firewall.Rules(segments=(segment,)), six=False)
    assert "-s 10.1.0.0/24 ! -o br-x -j MASQUERADE" in text
    assert "fd00" not in text


def test_iptables_opens_what_is_unprotected_or_trusted_and_names_a_source() -> None:
    options = firewall.Segment(
        bridge="br-x", subnets=("10.1.0.0/24",), sources={4: "192.0.2.1"}, open=(4,), trusted=("eth7",)
    )
    plain = firewall.Segment(bridge="br-y", subnets=("10.2.0.0/24", "fd00::/64"))
    rules = firewall.Rules(segments=(options, plain))
    lines = firewall_iptables.script("ONGGI", rules, six=False).splitlines()
    assert "-A ONGGI-POST -s 10.1.0.0/24 ! -o br-x -j SNAT --to-source 192.0.2.1" in lines
    wanted = [
        "-A ONGGI-FWD -i eth7 -o br-x -j ACCEPT",
        "-A ONGGI-FWD -i br-y -o br-x -j DROP",
        "-A ONGGI-FWD -o br-x -j ACCEPT",
        "-A ONGGI-FWD -o br-y -j DROP",
    ]
    assert [line for line in lines if line in wanted] == wanted
    assert "-A ONGGI-FWD -o br-x -j ACCEPT" not in firewall_iptables.script("ONGGI", rules, six=True)


def test_an_ipv6_network_hands_out_addresses_beyond_what_a_loop_could_count() -> None:
    addresses = Addresses(ipaddress.ip_network("fd00::/64"), "fd00::1")
    assert [addresses.take(), addresses.take()] == ["fd00::2", "fd00::3"]
    addresses.reserve("fd00::ffff")
    assert addresses.take() == "fd00::1:0"
    assert addresses.free > 2**63


def test_an_ip_range_narrows_what_is_handed_out_but_not_what_may_be_asked_for() -> None:
    subnet, inner = ipaddress.ip_network("10.1.2.0/24"), ipaddress.ip_network("10.1.2.128/30")
    addresses = Addresses(subnet, "10.1.2.1", ip_range=inner, aside=["10.1.2.129"])
    addresses.reserve("10.1.2.7")
    assert [addresses.take() for _ in range(3)] == ["10.1.2.128", "10.1.2.130", "10.1.2.131"]
    with pytest.raises(Unavailable):
        addresses.take()


def test_the_unique_local_prefix_is_the_engines_own_and_stays() -> None:
    assert subnets.ula_pool("a") == subnets.ula_pool("a") != subnets.ula_pool("b")
    assert ipaddress.ip_network(subnets.ula_pool("a")[0]).subnet_of(ipaddress.ip_network("fd00::/8"))


@given(st.dictionaries(st.integers(1, 60), st.binary(max_size=40), max_size=8))
def test_attributes_read_what_attribute_wrote(values: dict[int, bytes]) -> None:
    data = b"".join(netlink.attribute(kind, value) for kind, value in values.items())
    assert netlink.attributes(data) == values


@given(st.binary(max_size=64))
def test_attributes_never_fail_on_foreign_bytes(data: bytes) -> None:
    netlink.attributes(data)
