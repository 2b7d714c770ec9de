"""The relay: a process that carries published ports which the packet filter cannot or must not lead.

    client  --->  port of the host (a socket: the host's INPUT rules count)  ==relay==>  container's address

    [::1]               the kernel routes nothing from there to a container
    ports that cross    the host's IPv6 to a container that has IPv4 alone; started by the first client
    host-firewall       --publish-policy: connections from outside pass INPUT as any program's do
    iptables=false      nobody leads anything

The container sees the host's address in its network instead of the client's: that is the price.
The process is a companion (network/companion.py): it outlives the engine with its sockets and connections.
"""
