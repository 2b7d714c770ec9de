"""A user's engine on a host of its own (tests/wires.py): the way out leads over the wire to the client.

The host has a /dev/net/tun for everybody, as udev makes it (50-udev-default.rules), and an /etc/resolv.conf
of the test's; both are bound in a mount namespace of the engine's own.
"""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from tests import rootless
from tests.rootless import User
from tests.wires import CLIENT, Wire

HOST6, CLIENT6 = "2001:db8::1", "2001:db8::2"
FURNISH = (
    'mount --bind {0}/tun /dev/net/tun && mount --bind {0}/resolv.conf "$(realpath /etc/resolv.conf)" && '
)


def world() -> Wire:
    """A wire whose client is the host's way to everywhere, by IPv4 and IPv6."""
    wire = Wire()
    wire.on_host("ip", "addr", "add", f"{HOST6}/64", "dev", "wire0", "nodad")
    enter = ["nsenter", "-t", str(wire.holders[1].pid), "-n"]
    subprocess.run([*enter, "ip", "addr", "add", f"{CLIENT6}/64", "dev", "wire1", "nodad"], check=True)
    wire.on_host("ip", "route", "add", "default", "via", CLIENT)
    wire.on_host("ip", "-6", "route", "add", "default", "via", CLIENT6)
    return wire


def make_tun(directory: Path) -> None:
    tun = directory / "tun"
    if not tun.exists():
        os.mknod(tun, stat.S_IFCHR, os.makedev(10, 200))
        tun.chmod(0o666)


def engine_on(wire: Wire, who: User, directory: Path, *flags: str) -> rootless.Engine:
    """His engine on the host of the wire, not started yet; `directory`/resolv.conf is the host's."""
    make_tun(directory)
    (directory / "resolv.conf").touch()
    furnish = FURNISH.format(directory)
    return _furnished(who, ["nsenter", "-t", str(wire.host_pid), "-n"], furnish, *flags)


def engine_here(who: User, directory: Path, *flags: str) -> rootless.Engine:
    """His engine on this machine, with its networks and name servers."""
    make_tun(directory)
    return _furnished(who, [], f"mount --bind {directory}/tun /dev/net/tun && ", *flags)


def _furnished(who: User, enter: list[str], furnish: str, *flags: str) -> rootless.Engine:
    engine = rootless.Engine(who, *flags)
    (engine.exec_root.parent / f"{engine.exec_root.name}.log").unlink(missing_ok=True)  # of his last one
    engine.command = [*enter, "unshare", "-m", "sh", "-c", furnish + 'exec "$@"', "sh", *engine.command]
    return engine
