"""The command's side of TLS: an ssl.SSLContext of three files, or of a context's three texts."""

from __future__ import annotations

import os
import ssl

from onggi.cli.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from onggi.cli.contexts import Context


def of_files(authority: str, certificate: str, key: str, *, verify: bool) -> ssl.SSLContext:
    """Paths, empty for none; the engine is verified only when asked for. Raises CommandError."""
    context = _context(verify=verify)
    try:
        if verify and authority:
            context.load_verify_locations(authority)
        elif verify:
            context.load_default_certs()
        if certificate:
            context.load_cert_chain(certificate, key or None)
    except OSError as error:  # ssl.SSLError is one
        raise CommandError(f"failed to load TLS material: {error}") from None
    return context


def of_context(context: Context) -> ssl.SSLContext:
    """What `onggi context create` kept. Raises CommandError."""
    made = _context(verify=not context.skip_verify)
    try:
        if "ca" in context.tls:
            made.load_verify_locations(cadata=context.tls["ca"].decode("ascii"))
        else:
            made.load_default_certs()
        if "cert" in context.tls:
            # OpenSSL reads a chain and its key from a file alone: one that has no name.
            fd = os.memfd_create("context", os.MFD_CLOEXEC)
            try:
                os.write(fd, context.tls["cert"] + b"\n" + context.tls.get("key", b""))
                made.load_cert_chain(f"/proc/self/fd/{fd}")
            finally:
                os.close(fd)
    except (OSError, ValueError) as error:
        raise CommandError(f'context "{context.name}": failed to load TLS material: {error}') from None
    return made


def _context(*, verify: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
