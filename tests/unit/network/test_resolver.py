"""The resolver's tables and answers: pure, and fed with hostile packets."""

from __future__ import annotations

import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onggi.network.resolver import answers
from onggi.network.resolver.zones import Member, View, Zones


def member(container: str, address: str, *names: str, network: str = "n1") -> Member:
    return Member(
        network=network,
        network_name={"n1": "front", "n2": "back"}[network],
        container=container,
        names=(container, *names),
        addresses=(address,),
    )


@pytest.fixture
def zones() -> Zones:
    found = Zones()
    found.join(member("web", "10.0.0.2", "www"))
    found.join(member("web2", "10.0.0.3", "www"))
    found.join(member("six", "fd00::5"))
    found.join(member("db", "10.1.0.2", network="n2"))
    return found


ME = View(container="me", networks=("n1",), links=(("n1", "database", "web"),))


def ask(zones: Zones, name: str, kind: str, view: View = ME) -> dns.message.Message | None:
    found = answers.answer(zones, view, dns.message.make_query(name, kind).to_wire(), udp=True)
    return None if found is None else dns.message.from_wire(found)


def texts(reply: dns.message.Message | None) -> set[str]:
    assert reply is not None
    return {str(item) for rrset in reply.answer for item in rrset}


def test_names_aliases_links_and_names_with_their_network(zones: Zones) -> None:
    assert texts(ask(zones, "web", "A")) == {"10.0.0.2"}
    assert texts(ask(zones, "WWW", "A")) == {"10.0.0.2", "10.0.0.3"}
    assert texts(ask(zones, "web.front", "A")) == {"10.0.0.2"}
    assert texts(ask(zones, "database", "A")) == {"10.0.0.2"}
    assert texts(ask(zones, "six", "AAAA")) == {"fd00::5"}


def test_a_known_name_without_that_family_is_an_empty_answer(zones: Zones) -> None:
    reply = ask(zones, "web", "AAAA")
    assert reply is not None
    assert reply.rcode() == dns.rcode.NOERROR
    assert not reply.answer


def test_other_networks_and_other_types_are_for_others_to_answer(zones: Zones) -> None:
    assert ask(zones, "db", "A") is None
    assert ask(zones, "web", "MX") is None
    assert texts(ask(zones, "db", "A", View(container="me", networks=("n1", "n2")))) == {"10.1.0.2"}


def test_reverse(zones: Zones) -> None:
    assert texts(ask(zones, "2.0.0.10.in-addr.arpa", "PTR")) == {"web.front."}
    assert ask(zones, "2.0.1.10.in-addr.arpa", "PTR") is None
    assert ask(zones, "x.y.in-addr.arpa", "PTR") is None


def test_a_shared_alias_takes_turns(zones: Zones) -> None:
    firsts = {(zones.addresses(ME, "www") or [""])[0] for _ in range(100)}
    assert firsts == {"10.0.0.2", "10.0.0.3"}


def test_who_is_gone_has_no_name(zones: Zones) -> None:
    zones.forget("web")
    assert zones.addresses(ME, "web") is None
    assert zones.addresses(ME, "www") == ["10.0.0.3"]
    zones.keep_only(set(), {("n2", "db")})
    assert zones.addresses(ME, "www") is None


def test_an_answer_by_udp_fits_and_says_that_it_was_cut(zones: Zones) -> None:
    for number in range(200):
        zones.join(member(f"many{number}", f"10.0.1.{number}", "many"))
    question = dns.message.make_query("many", "A").to_wire()
    cut = answers.answer(zones, ME, question, udp=True)
    assert cut is not None
    assert len(cut) <= 512
    assert dns.message.from_wire(cut).flags & dns.flags.TC
    whole = answers.answer(zones, ME, question, udp=False)
    assert whole is not None
    assert len(texts(dns.message.from_wire(whole))) == 200


@given(st.binary(max_size=600))
def test_no_packet_is_too_strange(packet: bytes) -> None:
    found = answers.answer(Zones(), ME, packet, udp=True)
    assert found is None or len(found) <= 4096


@given(st.binary(min_size=1, max_size=80))
def test_no_packet_behind_a_good_header_is_too_strange(tail: bytes) -> None:
    answers.answer(Zones(), ME, b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + tail, udp=True)
