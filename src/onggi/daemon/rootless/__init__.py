"""An ordinary user's engine: two processes, of which the inner one is root in namespaces of its own.

    parent.py       the outer process: makes or joins the namespaces, starts the engine inside, ends with it
    namespaces.py   making, finding and joining them
    ids.py          which ids of the host are root and the others inside

The outer process imports neither the engine nor asyncio. Drawn in docs/design/rootless.md.
"""

SURROUNDINGS = "ONGGI_ROOTLESS"  # the variable in which the inner one is told where it lives
