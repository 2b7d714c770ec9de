"""The name server of containers, 127.0.0.11 inside each: a process of its own that outlives the engine.

    engine  --- exec_root/resolver.sock: one JSON packet for each change --->  resolver process
                a sandbox comes with two sockets, made in its network namespace, by SCM_RIGHTS

asyncio, unlike the rest of this floor: it is a program, and only client.py is called from the engine.
"""
