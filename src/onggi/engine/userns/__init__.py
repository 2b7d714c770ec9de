"""User namespaces of containers: which ids of the host stand for a container's ids (user_namespaces(7))."""
