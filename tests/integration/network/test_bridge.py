"""Bridge, sandbox and firewall on the real kernel, inside a network namespace of the test's own."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from onggi.errors import Conflict
from onggi.kernel import nftables
from onggi.kernel.namespaces import CLONE_NEWNET, unshare
from onggi.kernel.netlink import Route
from onggi.network import bridge, firewall
from onggi.network.addresses import mac_of
from onggi.network.plug import Plug
from onggi.network.sandbox import Entered, Sandbox, open_sandbox

pytestmark = pytest.mark.root

BRIDGE = bridge.Bridge(name="ogtest0", gateway="10.99.0.1", prefix=24)


def plug(host_name: str, address: str) -> Plug:
    return Plug(
        host_name=host_name,
        name="eth0",
        mac=mac_of(address),
        addresses=((address, 24),),
        gateways=("10.99.0.1",),
    )


class OwnNetwork:
    """Runs functions in one thread whose network namespace is a new, empty one: the test's host."""

    def __init__(self) -> None:
        self.sandboxes: list[Sandbox] = []

    def __call__(self, work: Callable[[], Any]) -> Any:
        outcome: list[Any] = []

        def run() -> None:
            try:
                unshare(CLONE_NEWNET)
                outcome.append((work(), None))
            except BaseException as error:
                outcome.append((None, error))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        value, error = outcome[0]
        if error is not None:
            raise error
        return value


@pytest.fixture
def host() -> Iterator[OwnNetwork]:
    if os.geteuid():
        pytest.skip("needs root: makes network namespaces")
    yield OwnNetwork()


def echo_once(listener: socket.socket) -> None:
    peer, _ = listener.accept()
    with peer:
        peer.sendall(peer.recv(100))


def test_two_sandboxes_and_the_host_reach_each_other(host: OwnNetwork) -> None:
    def work() -> tuple[bytes, list[str], list[str]]:
        bridge.ensure(BRIDGE)
        first, second = open_sandbox(), open_sandbox()
        bridge.connect(BRIDGE, first, plug("ogone", "10.99.0.2"))
        bridge.connect(BRIDGE, second, plug("ogtwo", "10.99.0.3"))
        with Entered(first.fd):
            listener = socket.create_server(("10.99.0.2", 8000))
        server = threading.Thread(target=echo_once, args=(listener,))
        server.start()
        with Entered(second.fd):
            client = socket.create_connection(("10.99.0.2", 8000), timeout=30)
        with client:
            client.sendall(b"through the bridge")
            got = client.recv(100)
        server.join()
        listener.close()
        before = sorted(bridge.interfaces(BRIDGE.name))
        bridge.disconnect("ogone")
        bridge.disconnect("ogone")
        after = bridge.interfaces(BRIDGE.name)
        first.close()
        second.close()
        return got, before, after

    got, before, after = host(work)
    assert got == b"through the bridge"
    assert before == ["ogone", "ogtwo"]
    assert after == ["ogtwo"]


def test_a_closed_sandbox_takes_its_interfaces_with_it(host: OwnNetwork) -> None:
    def work() -> None:
        bridge.ensure(BRIDGE)
        sandbox = open_sandbox()
        bridge.connect(BRIDGE, sandbox, plug("oggone", "10.99.0.2"))
        sandbox.close()
        with Route() as route:
            # The kernel's clean-up of a namespace is asynchronous: ask until it is done.
            gone = threading.Event()
            for _ in range(500):
                if route.link("oggone") is None:
                    gone.set()
                    break
                gone.wait(0.01)
            assert gone.is_set()

    host(work)


def test_ensure_is_idempotent_and_refuses_a_foreign_link(host: OwnNetwork) -> None:
    def work() -> None:
        bridge.ensure(BRIDGE)
        bridge.ensure(BRIDGE)
        with pytest.raises(Conflict, match="lo"):
            bridge.ensure(bridge.Bridge(name="lo", gateway="10.99.1.1", prefix=24))

    host(work)


def test_the_loopback_of_a_sandbox_is_up(host: OwnNetwork) -> None:
    def work() -> None:
        sandbox = open_sandbox()
        with Entered(sandbox.fd), socket.create_server(("127.0.0.1", 0)) as listener:
            socket.create_connection(listener.getsockname(), timeout=30).close()
        sandbox.close()

    host(work)


def test_refusals_name_the_link_and_the_kernels_reason(host: OwnNetwork) -> None:
    def work() -> None:
        with Route() as route:
            route.add_bridge("ogtest1")
            with pytest.raises(FileExistsError) as caught:
                route.add_bridge("ogtest1")
            assert caught.value.filename == "ogtest1"

    host(work)


def test_firewall_holds_exactly_what_was_applied_last(host: OwnNetwork) -> None:
    def work() -> str:
        one = firewall.Segment(bridge="ogtest0", subnets=("10.99.0.0/24",))
        two = firewall.Segment(bridge="ogtest1", subnets=("10.98.0.0/24",))
        firewall.apply("onggi_test", firewall.Rules(segments=(one, two)))
        assert not firewall.intact("onggi_test", firewall.Rules(segments=(one,)))
        firewall.apply("onggi_test", firewall.Rules(segments=(one,)))
        assert firewall.intact("onggi_test", firewall.Rules(segments=(one,)))
        listed = nftables.run("list table inet onggi_test\n")
        firewall.remove("onggi_test")
        firewall.remove("onggi_test")
        left = nftables.run('{"nftables": [{"list": {"tables": null}}]}')
        assert "onggi_test" not in left
        return listed

    listed = host(work)
    assert "ogtest0" in listed
    assert "ogtest1" not in listed
