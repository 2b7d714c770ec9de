"""rtnetlink: how fast a link may send, and where what it receives goes first (tc-tbf(8), tc-mirred(8)).

A link can shape only what it sends. So what comes in is led by way of another link, an ifb, which "sends" it
and hands it back to where it came from. Structs: linux/pkt_sched.h, pkt_cls.h, tc_act/tc_mirred.h.
"""

from __future__ import annotations

import errno
import socket
import struct

from onggi.kernel.netlink import (
    IFLA_IFALIAS,
    NLA_F_NESTED,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    RTM_SETLINK,
    Route,
    attribute,
)

RTM_NEWQDISC, RTM_DELQDISC, RTM_NEWTFILTER = 36, 37, 44
TC_H_ROOT, TC_H_INGRESS, INGRESS = 0xFFFFFFFF, 0xFFFFFFF1, 0xFFFF0000
TCA_KIND, TCA_OPTIONS = 1, 2
TCA_TBF_PARMS, TCA_TBF_RATE64, TCA_TBF_BURST = 1, 4, 6
TCA_U32_SEL, TCA_U32_ACT = 5, 7
TCA_ACT_KIND, TCA_ACT_OPTIONS, TCA_MIRRED_PARMS = 1, 2, 2
TC_LINKLAYER_ETHERNET, TC_U32_TERMINAL, TC_ACT_STOLEN, TCA_EGRESS_REDIR = 1, 1, 4, 1
ETH_P_ALL = 3

BURST_SECONDS, WAIT_SECONDS = 0.005, 0.1  # sent at once after a pause; queued before packets are dropped
LEAST_BURST = 64 * 1024  # of bytes: what segmentation offload makes one packet of

_HEAD = struct.Struct("=BxxxiIII")  # tcmsg: family, link, handle, parent, info
_RATE = struct.Struct("=BBHhHI")  # tc_ratespec: cell_log, linklayer, overhead, cell_align, mpu, rate
_LIMITS = struct.Struct("=3I")  # the rest of tc_tbf_qopt: limit, buffer, mtu
_LINK = struct.Struct("=BxHiII")


class Traffic(Route):
    """A Route that speaks of traffic, too. A rate is in bits a second."""

    def add_ifb(self, name: str) -> None:
        """Make the link for `divert`, up. Raises FileExistsError; EOPNOTSUPP without CONFIG_IFB."""
        self.add(name, "ifb", up=True)

    def set_alias(self, link: int, alias: str) -> None:
        """What `ip link show` prints; a link that is made takes none."""
        body = _LINK.pack(0, 0, link, 0, 0) + attribute(IFLA_IFALIAS, alias.encode())
        self.ask(RTM_SETLINK, 0, body, f"link {link}")

    def shape(self, link: int, rate: int) -> None:
        """A token bucket for all that a link sends, in the place of what was there."""
        bytes_ = rate // 8
        burst = max(LEAST_BURST, int(bytes_ * BURST_SECONDS))
        limit = min(burst + int(bytes_ * WAIT_SECONDS), 0xFFFFFFFF)
        narrow = min(bytes_, 0xFFFFFFFF)
        options = attribute(
            TCA_TBF_PARMS,
            _RATE.pack(0, TC_LINKLAYER_ETHERNET, 0, 0, 0, narrow)
            + bytes(_RATE.size)
            + _LIMITS.pack(limit, 0, 0),
        )
        options += attribute(TCA_TBF_BURST, burst)
        if narrow < bytes_:
            options += attribute(TCA_TBF_RATE64, struct.pack("=Q", bytes_))
        head = _HEAD.pack(0, link, 0, TC_H_ROOT, 0)
        body = attribute(TCA_KIND, "tbf") + attribute(TCA_OPTIONS | NLA_F_NESTED, options)
        self.ask(
            RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, head + body, f"link {link}: limit of its traffic"
        )

    def unshape(self, link: int) -> None:
        """As fast as it can; that already is no fault."""
        self._delete(_HEAD.pack(0, link, 0, TC_H_ROOT, 0), link)

    def divert(self, link: int, target: int) -> None:
        """What `link` receives goes by way of `target` first, wherever it went before."""
        self.undivert(link)
        subject = f"link {link}: limit of its traffic"
        head = _HEAD.pack(0, link, INGRESS, TC_H_INGRESS, 0)
        self.ask(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, head + attribute(TCA_KIND, "ingress"), subject)
        mirred = struct.pack("=IIiiiiI", 0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, target)
        action = attribute(TCA_ACT_KIND, "mirred")
        action += attribute(TCA_ACT_OPTIONS | NLA_F_NESTED, attribute(TCA_MIRRED_PARMS, mirred))
        everything = struct.pack("=BBBxHHhhI", TC_U32_TERMINAL, 0, 1, 0, 0, 0, 0, 0) + bytes(16)
        options = attribute(TCA_U32_SEL, everything)
        options += attribute(TCA_U32_ACT | NLA_F_NESTED, attribute(1 | NLA_F_NESTED, action))
        head = _HEAD.pack(0, link, 0, INGRESS, 1 << 16 | socket.htons(ETH_P_ALL))
        body = attribute(TCA_KIND, "u32") + attribute(TCA_OPTIONS | NLA_F_NESTED, options)
        try:
            self.ask(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, head + body, subject)
        except BaseException:
            self.undivert(link)
            raise

    def undivert(self, link: int) -> None:
        """What it receives is its own again; that already is no fault."""
        self._delete(_HEAD.pack(0, link, INGRESS, TC_H_INGRESS, 0), link)

    def _delete(self, head: bytes, link: int) -> None:
        try:
            self.ask(RTM_DELQDISC, 0, head, f"link {link}")
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINVAL):  # none, or the link's first one
                raise
