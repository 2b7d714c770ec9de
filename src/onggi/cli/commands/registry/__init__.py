"""Commands: one file each, its flag table as data, `run(session, flags, args) -> exit status`."""
