"""libnftables: one document is one transaction (libnftables(3), nft(8), libnftables-json(5)).

Loaded when first used; OSError(ENOENT) where Debian's libnftables1 is not installed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import threading

from onggi.kernel.namespaces import CLONE_FILES, unshare

NFT_CTX_OUTPUT_JSON = 1 << 4
FD_SETSIZE = 1024
SPARE_DESCRIPTORS = 200  # that other threads may open between the look and the library's own

_lock = threading.Lock()  # a context must not be used by two threads at once
_library: ctypes.CDLL | None = None


def _load() -> ctypes.CDLL:
    global _library
    if _library is None:
        try:
            library = ctypes.CDLL("libnftables.so.1")
        except OSError as error:
            raise OSError(errno.ENOENT, f"libnftables: {error}") from None
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        library.nft_ctx_free.argtypes = [ctypes.c_void_p]
        library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        for name in ("nft_ctx_buffer_error", "nft_ctx_buffer_output"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        for name in ("nft_ctx_get_error_buffer", "nft_ctx_get_output_buffer"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
            getattr(library, name).restype = ctypes.c_char_p
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        _library = library
    return _library


def run(document: str) -> str:
    """Carry out one document, all or nothing; its output is JSON. Raises OSError with nft's own words.

    JSON, or nft(8)'s commands, one on each line: the library tells them apart by the first character.
    Acts in the network namespace of the calling thread.
    """
    with _lock:
        library = _load()
        return _run(library, document) if _low() else _run_apart(library, document)


def _low() -> bool:
    """Does the next descriptor have a low number?"""
    fd = os.open("/", os.O_PATH | os.O_CLOEXEC)
    os.close(fd)
    return fd < FD_SETSIZE - SPARE_DESCRIPTORS


def _run_apart(library: ctypes.CDLL, document: str) -> str:
    """In a thread with a table of descriptors of its own, which is empty.

    The library waits for the kernel with select(2): with a socket beyond FD_SETSIZE it aborts the process. A
    new thread is in the namespaces of the one that starts it; signals stay with the others, whose wake-up
    descriptor it has closed.
    """
    found: list[str | BaseException] = []

    def work() -> None:
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            unshare(CLONE_FILES)
            os.closerange(3, 1 << 30)
            found.append(_run(library, document))
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=work, name="nftables")
    thread.start()
    thread.join()
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def _run(library: ctypes.CDLL, document: str) -> str:
    context = library.nft_ctx_new(0)
    if not context:
        raise OSError(errno.ENOMEM, "nft_ctx_new")
    try:
        library.nft_ctx_output_set_flags(context, NFT_CTX_OUTPUT_JSON)
        library.nft_ctx_buffer_error(context)
        library.nft_ctx_buffer_output(context)
        if library.nft_run_cmd_from_buffer(context, document.encode()):
            why = (library.nft_ctx_get_error_buffer(context) or b"").decode(errors="replace").strip()
            raise OSError(errno.EINVAL, f"nftables: {why}")
        return (library.nft_ctx_get_output_buffer(context) or b"").decode(errors="replace")
    finally:
        library.nft_ctx_free(context)
