"""Networks of containers: sandboxes, bridges, addresses, the firewall's rules; by netlink in-process.

Blocking. Which container is in which network is the engine's to know (engine/networks/): nothing here reads
the database.
"""
