"""Our own tar: a streaming reader and writer of ustar, old V7, GNU and PAX archives, with bounded memory.

    entry.py    the value that both sides speak, the limits, the one error
    reader.py   stream -> entries and their content
    pax.py      PAX records: parsing, precedence, making
    sparse.py   maps of sparse files in the five dialects that exist
    writer.py   entries and content -> stream

Names are bytes and stay bytes. Nothing here touches a file system (that is images/apply.py and
images/pack.py).
"""

from __future__ import annotations

from onggi.images.tar.entry import BadArchive, Entry
from onggi.images.tar.reader import Reader, read
from onggi.images.tar.writer import Writer

__all__ = ["BadArchive", "Entry", "Reader", "Writer", "read"]
