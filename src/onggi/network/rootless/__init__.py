"""The network of an engine without root: its namespace, and one process outside that leads in and out.

    host's network namespace                         the engine's (of its own user namespace)
    ------------------------                         ------------------------------------------------------
    outside process --- pasta or slirp4netns --tap0- bridges, filter, names: the same code as with root
      | makes sockets of the host --SCM_RIGHTS-----> relay: what comes to a published port, to a container
      | asks 127.0.0.53 and its like <--sockets----- 127.0.0.53:53, as /etc/resolv.conf has it

    outside.py    its two clients: who starts the engine and sees that it lives; the engine
    process.py    the process
    uplink.py     the life of pasta or slirp4netns
    programs.py   how these two are called
    members.py    who still lives in the namespace

From within nobody comes back to the host's namespace (setns(2) asks for rights over it), so the process is
started before the engine goes in. It outlives the engine, and ends when nobody lives in the namespace.
"""
