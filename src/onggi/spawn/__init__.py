"""The hot path: what runs between "decided" and execve, and the processes that outlive the daemon."""
