"""libnftables: one document is one transaction (libnftables(3), nft(8), libnftables-json(5)).

Loaded when first used; OSError(ENOENT) where Debian's libnftables1 is not installed.
"""

from __future__ import annotations

import ctypes
import errno
import threading

NFT_CTX_OUTPUT_JSON = 1 << 4

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
