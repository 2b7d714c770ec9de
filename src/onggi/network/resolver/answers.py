"""One question and its answer as bytes (RFC 1035). Hostile packets are the normal case: what is no question
gets FORMERR where it has a header, and silence else.
"""

from __future__ import annotations

import struct

from dnslib import AAAA, PTR, QTYPE, RCODE, RR, A, DNSError, DNSHeader, DNSRecord

from onggi.network.resolver.zones import View, Zones

TTL_SECONDS = 600  # Docker's
PLAIN_BYTES = 512  # of an answer by UDP, where the question does not allow more (RFC 6891)
MOST_BYTES = 4096


def answer(zones: Zones, view: View, packet: bytes, *, udp: bool) -> bytes | None:
    """The answer to a question that the engine knows; None for one that others have to answer.

    An empty answer means: say nothing.
    """
    try:
        question = DNSRecord.parse(packet)
        name, kind = str(question.q.qname), question.q.qtype
    except (DNSError, UnicodeError, ValueError, IndexError, struct.error):
        return refusal(packet, RCODE.FORMERR)
    if question.header.qr or not question.questions:
        return b""
    if kind == QTYPE.PTR:
        target = zones.reverse(view, name)
        return None if target is None else _reply(question, [PTR(target)], QTYPE.PTR, udp=udp)
    if kind not in (QTYPE.A, QTYPE.AAAA):
        return None
    found = zones.addresses(view, name)
    if found is None:
        return None
    six = kind == QTYPE.AAAA
    wanted = [address for address in found if (":" in address) == six]
    return _reply(question, [AAAA(text) if six else A(text) for text in wanted], kind, udp=udp)


def _reply(question: DNSRecord, data: list[A | AAAA | PTR], kind: int, *, udp: bool) -> bytes:
    reply = question.reply(ra=1, aa=0)
    for item in data:
        reply.add_answer(RR(question.q.qname, kind, ttl=TTL_SECONDS, rdata=item))
    packed = bytes(reply.pack())
    if not udp or len(packed) <= _room(question):
        return packed
    fitting = max(1, len(data) * _room(question) // len(packed))
    while len(packed) > _room(question) and fitting:
        reply = question.reply(ra=1, aa=0)
        reply.header.tc = 1
        for item in data[:fitting]:
            reply.add_answer(RR(question.q.qname, kind, ttl=TTL_SECONDS, rdata=item))
        packed = bytes(reply.pack())
        fitting -= 1
    return packed


def _room(question: DNSRecord) -> int:
    """How many bytes the asker takes by UDP: its EDNS record says so in the class."""
    sizes = [item.rclass for item in question.ar if item.rtype == QTYPE.OPT]
    return min(max(PLAIN_BYTES, *sizes, 0), MOST_BYTES) if sizes else PLAIN_BYTES


def refusal(packet: bytes, code: int) -> bytes:
    """The header and question of a packet with an error code; nothing where there is no header."""
    if len(packet) < 12:
        return b""
    number, flags = struct.unpack_from("!HH", packet)
    if flags & 0x8000:
        return b""
    try:
        question = DNSRecord.parse(packet)
        reply = question.reply(ra=1, aa=0)
        reply.header.rcode = code
        return bytes(reply.pack())
    except (DNSError, UnicodeError, ValueError, IndexError, struct.error):
        return bytes(DNSRecord(DNSHeader(id=number, qr=1, ra=1, rcode=code)).pack())
