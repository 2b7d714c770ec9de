"""The image that is always there: onggi/hello, made here byte by byte, for `onggi run hello` without a
network.

    index ── manifest (linux/amd64) ── config, layer: /hello
         └── manifest (linux/arm64) ── config, layer: /hello
/hello is a static ELF program of two system calls, write(2) and exit(2), with the text behind the code.
All bytes are the same on every machine and in every release with the same text, so the digests are, too.

Source: System V ABI (ELF-64); Intel SDM vol. 2; Arm ARM, C6.2; OCI image specification. Not here: storing it.
"""

from __future__ import annotations

import hashlib
import io
import struct

import msgspec

from onggi.images.tar.entry import Entry
from onggi.images.tar.writer import Writer

REFERENCE = "onggi/hello:latest"
BASE = 0x400000
ELF_BYTES, SEGMENT_BYTES = 64, 56
CREATED = "2026-01-01T00:00:00Z"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"

TEXT = """
Hello from Onggi!

This text was printed by a program inside a container. To get here:

  1. The onggi command asked the engine, over its socket, for a container.
  2. The engine took the image onggi/hello, which it carries with it: nothing was downloaded.
  3. A shim gave the program namespaces, a root file system and limits of its own.
  4. The program wrote these lines, the engine sent them to you, and the container ended.

What to try next:

  onggi image bootstrap debian:bookworm       make a Debian image on this machine
  onggi run -it debian:bookworm bash          a shell in it
  onggi ps -a                                 the containers there are
  onggi --help                                everything else

The docker command works as well: DOCKER_HOST=unix:///run/onggi/onggi.sock docker ps
"""


class Embedded(msgspec.Struct, frozen=True):
    """An image as blobs by digest; `index` is the digest that `reference` names."""

    reference: str
    index: str
    blobs: dict[str, bytes]


def build() -> Embedded:
    """All blobs of the image. A pure function: the same bytes every time."""
    blobs: dict[str, bytes] = {}
    manifests = []
    for architecture, program in (("amd64", amd64(TEXT.encode())), ("arm64", arm64(TEXT.encode()))):
        manifest = _manifest(blobs, architecture, program)
        platform = {"architecture": architecture, "os": "linux"}
        descriptor = _descriptor(MANIFEST, manifest) | {"platform": platform}
        blobs[_digest(manifest)] = manifest
        manifests.append(descriptor)
    index = _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
    digest = _digest(index)
    blobs[digest] = index
    return Embedded(REFERENCE, digest, blobs)


def _manifest(blobs: dict[str, bytes], architecture: str, program: bytes) -> bytes:
    layer = _layer(program)
    config = _json(
        {
            "architecture": architecture,
            "os": "linux",
            "created": CREATED,
            "config": {"Cmd": ["/hello"], "WorkingDir": "/", "Env": ["PATH=/"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            "history": [{"created": CREATED, "created_by": "onggi: COPY hello /"}],
        }
    )
    blobs[_digest(layer)] = layer
    blobs[_digest(config)] = config
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, config),
            "layers": [_descriptor(LAYER, layer)],
        }
    )


def _layer(program: bytes) -> bytes:
    """Plain tar: compressors differ from release to release."""
    stream = io.BytesIO()
    writer = Writer(stream)
    writer.add(Entry(b"hello", mode=0o755, size=len(program)), program)
    writer.close()
    return stream.getvalue()


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


def _json(document: dict[str, object]) -> bytes:
    return msgspec.json.encode(document)


def amd64(text: bytes) -> bytes:
    """write(1, text, length); exit(0) for x86-64: number in eax, arguments in edi, esi, edx."""
    code = b"".join(
        (
            b"\xb8" + struct.pack("<I", 1),  # mov eax, 1          write
            b"\xbf" + struct.pack("<I", 1),  # mov edi, 1          standard output
            b"\x48\x8d\x35" + struct.pack("<i", 16),  # lea rsi, [rip+16]   the text, 16 bytes on
            b"\xba" + struct.pack("<I", len(text)),  # mov edx, length
            b"\x0f\x05",  # syscall
            b"\xb8" + struct.pack("<I", 60),  # mov eax, 60         exit
            b"\x31\xff",  # xor edi, edi
            b"\x0f\x05",  # syscall
        )
    )
    return elf(62, code + text)


def arm64(text: bytes) -> bytes:
    """The same for AArch64: number in x8, arguments in x0, x1, x2."""
    code = struct.pack(
        "<8I",
        0xD2800020,  # mov x0, #1
        0x100000E1,  # adr x1, .+28        the text, seven instructions on
        0xD2800002 | len(text) << 5,  # mov x2, #length (16 bits)
        0xD2800808,  # mov x8, #64         write
        0xD4000001,  # svc #0
        0xD2800000,  # mov x0, #0
        0xD2800BA8,  # mov x8, #93         exit
        0xD4000001,  # svc #0
    )
    return elf(183, code + text)


def elf(machine: int, content: bytes) -> bytes:
    """A static ELF-64 executable of one segment, readable and executable, that begins at its content."""
    start = ELF_BYTES + SEGMENT_BYTES
    size = start + len(content)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",  # 64 bits, little endian, version 1
        2,  # ET_EXEC
        machine,
        1,
        BASE + start,  # entry
        ELF_BYTES,  # program headers
        0,
        0,
        ELF_BYTES,
        SEGMENT_BYTES,
        1,
        0,
        0,
        0,
    )
    # PT_LOAD, PF_R | PF_X; aligned to the largest page that arm64 has
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 0x10000)
    return header + segment + content
