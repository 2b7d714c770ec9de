"""What must not lie on the disk as it is: sealed with a key of this root.

    secrets.key     32 random bytes, mode 0600; made for the first secret
    sealed          nonce (12 bytes) + AES-256-GCM(data) + tag (16 bytes); NIST SP 800-38D

Whoever copies the database, a backup or a disk without the key reads nothing, and bytes that were changed or
moved to another row are not opened: the row's identity is part of what is authenticated. Root on this machine
reads both: a key beside the data protects from no one else than those.
"""

from __future__ import annotations

import os
import stat
import threading

from onggi import failpoints
from onggi.errors import Corrupt, System
from onggi.store import atomic

KEY_BYTES = 32
NONCE_BYTES = 12


class Sealing:
    """Seals and opens. Blocking (a file is read, cryptography is imported at the first use); any thread."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._key = b""

    def seal(self, data: bytes, identity: str) -> bytes:
        """Makes the key where there is none. Failpoint: secret.key-made. Raises System, OSError."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # the first secret pays for it

        nonce = os.urandom(NONCE_BYTES)
        return nonce + AESGCM(self._load(make=True)).encrypt(nonce, data, identity.encode())

    def open(self, sealed: bytes, identity: str) -> bytes:
        """Raises Corrupt for other bytes, another key or another identity; System, OSError (no key)."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return AESGCM(self._load(make=False)).decrypt(nonce, text, identity.encode())
        except (InvalidTag, ValueError):
            raise Corrupt(f"{identity} cannot be opened with the key {self._path}") from None

    def _load(self, *, make: bool) -> bytes:
        with self._lock:
            if not self._key:
                self._key = self._read(make=make)
            return self._key

    def _read(self, *, make: bool) -> bytes:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            if not make:
                raise Corrupt(f"the key of secrets is gone: {self._path}") from None
            return self._make()
        with os.fdopen(fd, "rb") as file:
            facts = os.fstat(file.fileno())
            if stat.S_IMODE(facts.st_mode) & 0o077:
                raise System(f"the key of secrets is open to others: {self._path}: chmod it to 0600")
            key = file.read(KEY_BYTES + 1)
        if len(key) != KEY_BYTES:
            raise Corrupt(f"the key of secrets has not {KEY_BYTES} bytes: {self._path}")
        return key

    def _make(self) -> bytes:
        key = os.urandom(KEY_BYTES)
        atomic.write(self._path, key, 0o600)
        failpoints.hit("secret.key-made")
        return key
