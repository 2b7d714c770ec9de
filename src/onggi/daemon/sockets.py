"""Where the engine listens: unix sockets, sockets that systemd opened (fd://), tcp with TLS, or plain
where that is wanted.

A unix socket is 0660 (--socket-mode), root and the group; an ordinary user's is 0600. A path that another
engine answers on is refused, a stale one is replaced.
"""

from __future__ import annotations

import grp
import logging
import os
import socket
import ssl
import stat

from onggi.daemon.settings import Settings, TlsFiles
from onggi.errors import Conflict, InvalidParameter

log = logging.getLogger("onggi.daemon")

FIRST_PASSED_FD = 3  # sd_listen_fds(3)


def open_all(settings: Settings) -> list[socket.socket]:
    """Bound sockets for every host. Raises InvalidParameter, Conflict, OSError."""
    opened: list[socket.socket] = []
    try:
        for host in settings.hosts:
            opened += _open(host, settings)
    except BaseException:
        for sock in opened:
            sock.close()
        raise
    return opened


def _open(host: str, settings: Settings) -> list[socket.socket]:
    scheme, separator, rest = host.partition("://")
    if not separator:
        raise InvalidParameter(f"unable to parse docker host `{host}`")
    match scheme:
        case "unix":
            return [_unix(rest or settings.engine.paths.socket, settings)]
        case "fd":
            return passed()
        case "tcp":
            return [_tcp(host, rest, settings)]
    raise InvalidParameter(f"invalid bind address ({host}): unsupported proto '{scheme}'")


def _unix(path: str, settings: Settings) -> socket.socket:
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    old = os.umask(~settings.socket_mode & 0o777)
    try:
        sock.bind(path)
    except OSError as error:
        sock.close()
        raise InvalidParameter(f"can't create unix socket {path}: {error.strerror or error}") from None
    finally:
        os.umask(old)
    try:
        _give_to_group(path, settings)
    except BaseException:
        sock.close()
        raise
    return sock


def _give_to_group(path: str, settings: Settings) -> None:
    """Only a group that was asked for by name must exist. A user's socket is his own, unless he asks."""
    if settings.engine.rootless and not settings.group_is_given:
        return
    if settings.group.isdigit():
        gid = int(settings.group)
    else:
        try:
            gid = grp.getgrnam(settings.group).gr_gid
        except KeyError:
            if settings.group_is_given:
                raise InvalidParameter(f"group {settings.group} not found") from None
            return
    try:
        os.chown(path, 0, gid)
    except OSError as error:
        raise InvalidParameter(f"can't give {path} to group {settings.group}: {error.strerror}") from None


def _remove_stale(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise InvalidParameter(f"can't create unix socket {path}: it exists and is no socket")
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path) or "/", mode=0o711, exist_ok=True)
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            os.unlink(path)
            return
    raise Conflict(f"can't create unix socket {path}: another process listens on it")


def passed() -> list[socket.socket]:
    """The sockets that were passed to this process: sd_listen_fds(3). Raises InvalidParameter without any."""
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdigit() or int(count) == 0:
        raise InvalidParameter(
            "no sockets found via socket activation: make sure the service was started by systemd"
        )
    found = []
    for fd in range(FIRST_PASSED_FD, FIRST_PASSED_FD + int(count)):
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        found.append(sock)
    for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    return found


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 and later; with an authority, for its clients alone. Raises InvalidParameter."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidParameter(
            f"could not load X509 key pair (cert: {files.certificate!r}, key: {files.key!r}): {error}"
        ) from None
    if files.authority:
        try:
            context.load_verify_locations(files.authority)
        except (OSError, ssl.SSLError) as error:
            raise InvalidParameter(f"could not read CA certificate {files.authority!r}: {error}") from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _tcp(host: str, rest: str, settings: Settings) -> socket.socket:
    """Whoever reaches the API is root here, so it is said when clients are not verified."""
    if not settings.tcp_is_meant:
        raise InvalidParameter(
            f"refused to listen on {host}: everybody who can connect there is root on this machine; "
            "--tlsverify lets in clients with a certificate alone, --tls=false or --tlsverify=false says "
            "that you want it otherwise"
        )
    if settings.tls is None or not settings.tls.authority:
        log.warning("%s is open to everybody who can connect: this is root access to this machine", host)
    address, _, port = rest.rpartition(":") if ":" in rest else (rest, "", "")
    port = port or ("2376" if settings.tls else "2375")
    if not port.isdigit():
        raise InvalidParameter(f"invalid bind address ({host}): {port!r} is no port")
    address = address.strip("[]") or "127.0.0.1"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, int(port)))
    except OSError as error:
        sock.close()
        raise InvalidParameter(f"can't listen on {host}: {error.strerror or error}") from None
    return sock


def remove_all(settings: Settings) -> None:
    """Remove the unix sockets that `open_all` made."""
    for host in settings.hosts:
        if host.startswith("unix://"):
            try:
                os.unlink(host.removeprefix("unix://") or settings.engine.paths.socket)
            except FileNotFoundError:
                pass
