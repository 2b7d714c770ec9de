"""Regular expressions that clients send, with RE2's syntax and its promise: bounded work."""
