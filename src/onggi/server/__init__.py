"""The Engine API over HTTP/1.1: connections, routing, and the handlers that turn requests into verbs."""
