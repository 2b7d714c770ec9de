"""What must survive: blobs, the database, locks, atomic files, the trash.

Blocking Python: the engine calls it through its one offload, and does single-row reads and writes of the
database on the event loop.
"""
