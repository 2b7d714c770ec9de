"""An authority, and certificates of an engine and a client, by openssl, as Docker's manual does."""

from __future__ import annotations

import subprocess
from pathlib import Path


def authority(directory: Path, name: str = "ca") -> Path:
    """`name`.pem and `name`-key.pem."""
    directory.mkdir(parents=True, exist_ok=True)
    _openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", f"/CN={name}", "-keyout", str(directory / f"{name}-key.pem"),
        "-out", str(directory / f"{name}.pem"),
    )  # fmt: skip
    return directory / f"{name}.pem"


def certificate(ca: Path, directory: Path, purpose: str, names: str = "IP:127.0.0.1,DNS:localhost") -> Path:
    """cert.pem, key.pem and a copy of the authority's ca.pem; `purpose` is serverAuth or clientAuth."""
    directory.mkdir(parents=True, exist_ok=True)
    request, extensions = directory / "request.pem", directory / "extensions"
    extensions.write_text(f"extendedKeyUsage={purpose}\nsubjectAltName={names}\n")
    _openssl(
        "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-subj", f"/CN={purpose}", "-keyout", str(directory / "key.pem"), "-out", str(request),
    )  # fmt: skip
    _openssl(
        "x509", "-req", "-days", "2", "-in", str(request), "-CA", str(ca), "-CAcreateserial",
        "-CAkey", str(ca.with_name(f"{ca.stem}-key.pem")), "-extfile", str(extensions),
        "-out", str(directory / "cert.pem"),
    )  # fmt: skip
    (directory / "ca.pem").write_bytes(ca.read_bytes())
    return directory


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)
