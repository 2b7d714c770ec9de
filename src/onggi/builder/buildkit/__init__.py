"""BuildKit's door: its gRPC services, for the clients that speak them, on our own front end.

Drawn in docs/design/builder.md.
"""
