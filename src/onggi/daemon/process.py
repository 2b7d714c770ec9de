"""The daemon's life: settings, log, sockets, engine, server; then signals until the end.

    SIGTERM, SIGINT   stop: requests end, the engine lets go, containers run on
    SIGHUP            read the configuration file again; what cannot change while running is left as it is

The order at start: sockets are bound before the engine is opened, so a wrong address costs nothing, and
accepted on after it, so the first client finds everything in place.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable

from onggi import __version__
from onggi.cli import help as help_
from onggi.cli.errors import FlagError
from onggi.cli.flags import Flags, HelpWanted, parse
from onggi.daemon import log as log_
from onggi.daemon import pid_file, reaper, settings, sockets
from onggi.daemon.flags import FLAGS
from onggi.daemon.notify import notify
from onggi.daemon.settings import Settings
from onggi.engine import descriptors
from onggi.engine.engine import Engine
from onggi.engine.reconcile import open_engine
from onggi.errors import OnggiError
from onggi.server.operations import TABLE
from onggi.server.server import Server

log = logging.getLogger("onggi.daemon")


def main(argv: list[str]) -> int:
    """Run the daemon; its exit status."""
    try:
        flags, words = parse(FLAGS, argv)
        if words:
            raise FlagError(f'"onggi daemon" accepts no arguments: {words[0]}')
    except HelpWanted:
        print("\n".join(["Usage:  onggi daemon [OPTIONS]", "", "Options:", *help_.options(_shown())]))
        return 0
    except FlagError as error:
        sys.stderr.write(f"onggi daemon: {error}\n\nUsage:  onggi daemon [OPTIONS]\n")
        return 125
    if flags["version"]:
        print(f"Onggi version {__version__}")
        return 0
    reaper.stand_aside()
    return _guarded(flags)


def _shown() -> tuple[tuple[str, str, str, object, str], ...]:
    return tuple(row for row in FLAGS if row[4])


def _guarded(flags: Flags) -> int:
    """Errors before and while running become one line each."""
    try:
        loaded = settings.load(flags)
    except OnggiError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    if flags["validate"]:
        sys.stderr.write("configuration OK\n")
        return 0
    log_.set_up(loaded.log_level, loaded.log_format)
    descriptors.raise_limit()
    for warning in loaded.warnings:
        log.warning("%s", warning)
    try:
        asyncio.run(_run(flags, loaded))
    except OnggiError as error:
        log.critical("failed to start the engine: %s", error.message)
        return 1
    except OSError as error:
        log.critical("failed to start the engine: %s", error, exc_info=loaded.engine.debug)
        return 1
    return 0


async def _run(flags: Flags, loaded: Settings) -> None:
    log.info("Starting up: version %s, root %s", __version__, loaded.engine.root)
    if loaded.engine.rootless and loaded.engine.rootless.single_id:
        log.warning("root is the only id in containers: %s", loaded.engine.rootless.single_id)
    tls = sockets.tls_context(loaded.tls) if loaded.tls else None
    bound = sockets.open_all(loaded)
    try:
        pid_file.write(loaded.pid_file)
        try:
            await _serve(flags, loaded, bound, tls)
        finally:
            pid_file.remove(loaded.pid_file)
    finally:
        for sock in bound:
            sock.close()
        sockets.remove_all(loaded)


async def _serve(
    flags: Flags, loaded: Settings, bound: list[socket.socket], tls: ssl.SSLContext | None
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    engine = await open_engine(loaded.engine)
    try:
        server = Server(engine, TABLE)
        for signal_ in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_, _stopper(stop, signal_))
        loop.add_signal_handler(signal.SIGHUP, _reload, engine, flags, loaded)
        for sock in bound:
            await server.listen(sock, tls)
        gc.collect()
        gc.freeze()  # what lives now lives to the end: collections need not look at it again
        log.info("API listen on %s", ", ".join(loaded.hosts))
        notify("READY=1")
        await stop.wait()
        notify("STOPPING=1")
        await server.close(loaded.shutdown_seconds)
    finally:
        await engine.close()
    log.info("Daemon shutdown complete: containers run on")


def _stopper(stop: asyncio.Event, signal_: signal.Signals) -> Callable[[], None]:
    def stopped() -> None:
        log.info("Processing signal '%s'", signal_.name)
        stop.set()

    return stopped


def _reload(engine: Engine, flags: Flags, loaded: Settings) -> None:
    """SIGHUP. A file that is wrong changes nothing."""
    try:
        fresh = settings.reloaded(flags, loaded)
    except OnggiError as error:
        log.error("the configuration is not reloaded: %s", error.message)
        return
    try:
        engine.reload_access(fresh.engine.access_policy)
    except OnggiError as error:
        log.error("the access policy is not reloaded: %s", error.message)
        return
    engine.config = fresh.engine
    log_.set_level(fresh.log_level)
    engine.events.emit("daemon", "reload", "", {"name": os.uname().nodename, **settings.reloadable(fresh)})
    log.info("Reloaded configuration")
