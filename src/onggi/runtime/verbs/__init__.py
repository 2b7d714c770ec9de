"""One verb of onggi-runtime, one file: `run(runtime, words) -> exit code`."""
