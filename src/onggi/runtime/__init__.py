"""OCI runtime: a bundle becomes a plan, a plan becomes a container (floor L2, blocking Python)."""
