.DEFAULT_GOAL := help
PY := .venv/bin/python

help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## .venv with the locked libraries and the launchers
	scripts/setup --dev

demo:  ## start the engine, get a Debian image, run containers on it
	scripts/demo

test:  ## all that must hold: linters, types, every test (root, about 50 minutes)
	scripts/test

check:  ## before each commit: linters, types, fast unit tests (under a minute)
	scripts/setup --dev
	.venv/bin/ruff check src tests
	.venv/bin/ruff format --check src tests
	.venv/bin/mypy
	$(PY) -m pytest -q -m "not slow" tests/unit

conformance:  ## the same work by real peers: docker, dockerd, runc, podman
	$(PY) -m pytest tests/conformance

test-v2:  ## runtime, engine and API in a virtual machine that has cgroup v2 alone, and one that systemd rules (root, long)
	scripts/test-v2 --whole

crash:  ## SIGKILL at every step
	$(PY) -m pytest tests/crash

bench:  ## measure side by side with dockerd, write docs/benchmarks.md's tables to the terminal
	$(PY) -m tests.bench

soak:  ## two thousand containers with random kills; prints what is left (root, about five minutes)
	$(PY) -m tests.soak.soak 2000

fuzz:  ## atheris and schemathesis at length over everything that reads foreign bytes (root, about an hour)
	HYPOTHESIS_PROFILE=fuzz ONGGI_FUZZ_SECONDS=$${ONGGI_FUZZ_SECONDS:-240} $(PY) -m pytest tests/fuzz tests/conformance/api/test_generated.py

format:  ## let ruff format
	.venv/bin/ruff format src tests
	.venv/bin/ruff check --fix src tests

lock:  ## resolve the libraries anew
	.venv/bin/uv pip compile -q --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 pyproject.toml -o requirements.lock
	.venv/bin/uv pip compile -q --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 --group dev pyproject.toml -o requirements-dev.lock

.PHONY: help setup demo test check conformance test-v2 crash bench soak fuzz format lock
