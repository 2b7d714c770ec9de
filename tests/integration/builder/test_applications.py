"""Real applications on a bootstrapped Debian: built with packages of the registries, run, asked over HTTP.

    client                           really runs the steps of        and builds after a change of the source
    onggi build                      nginx                           all others
    docker build (classic)           the C program                   all others
    docker buildx build              Python with pip, PostgreSQL     all others
    docker compose build             Node with npm                   all others

What the first client has installed comes from the cache, which all doors share; the new text is what answers.
"""

# ruff: noqa: E501 (commands of Dockerfiles)
from __future__ import annotations

import json
import os
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import engines, programs
from tests.buildx import BUILDX, COMPOSE, need
from tests.engines import Engine

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]
TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")  # a host behind a proxy has roots of its own
INSTALL = "apt-get install -qy --no-install-recommends"

APT = f"""FROM {programs.BASE}
ENV DEBIAN_FRONTEND=noninteractive
RUN printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d && apt-get update -q
COPY ca.crt /
"""
PYTHON = f"""FROM lists:1 AS packages
RUN {INSTALL} python3-venv && python3 -m venv /venv
ENV PIP_CERT=/ca.crt
COPY requirements.txt .
RUN --mount=type=cache,target=/root/.cache/pip /venv/bin/pip install -q -r requirements.txt

FROM packages AS tests
WORKDIR /src
COPY app.py .
RUN /venv/bin/python -c "import app; print('tested', app.app.test_client().get('/').text)"

FROM packages
COPY --from=tests --chown=nobody:nogroup /src/app.py /srv/
WORKDIR /srv
USER nobody
EXPOSE 8000
HEALTHCHECK --interval=1s CMD /venv/bin/python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/')"
CMD ["/venv/bin/gunicorn", "-b", "0.0.0.0:8000", "app:app"]
"""
APP = """import flask
app = flask.Flask("jar")
@app.get("/")
def hello():
    return "python ONE"
"""
WEB = f"""FROM lists:1 AS web
RUN {INSTALL} nginx-light && ln -sf /dev/stderr /var/log/nginx/error.log
COPY index.html /var/www/html/
EXPOSE 80
STOPSIGNAL SIGQUIT
ENTRYPOINT ["nginx", "-g", "daemon off;"]

FROM lists:1 AS database
RUN {INSTALL} postgresql && pg_dropcluster 15 main
ENV PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/var/lib/postgresql/data
USER postgres
RUN initdb -A trust && echo "listen_addresses = '*'" >> $PGDATA/postgresql.conf
COPY --chown=postgres schema.sql /
RUN postgres --single -j postgres < /schema.sql
VOLUME $PGDATA
CMD ["postgres"]
"""
C = f"""FROM lists:1 AS compiler
RUN {INSTALL} gcc libc6-dev
FROM compiler AS made
COPY serve.c .
RUN cc -O2 -Wall -Werror -static -o /serve serve.c

FROM scratch
COPY --from=made /serve /serve
USER 65534:65534
ENTRYPOINT ["/serve"]
"""
SERVE = r"""#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
int main(void) {
  static const char text[] = "HTTP/1.0 200 OK\r\n\r\nc ONE";
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(8080)};
  char asked[2048];
  int one = 1, door = socket(AF_INET, SOCK_STREAM, 0);
  signal(SIGPIPE, SIG_IGN);
  setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(door, (struct sockaddr *)&at, sizeof at) || listen(door, 8)) return 1;
  for (;;) {
    int call = accept(door, 0, 0);
    if (read(call, asked, sizeof asked) > 0 && write(call, text, strlen(text)) < 0) return 1;
    close(call);
  }
}
"""
NPM = "https://registry.npmjs.org/npm/-/npm-9.9.4.tgz"
NODE = f"""FROM lists:1 AS node
RUN {INSTALL} nodejs
FROM node AS packages
ADD {NPM} /opt/npm.tgz
RUN tar -xzf /opt/npm.tgz -C /opt
ENV NODE_EXTRA_CA_CERTS=/ca.crt
WORKDIR /app
COPY package.json .
RUN --mount=type=cache,target=/root/.npm node /opt/package/bin/npm-cli.js install --omit=dev --no-audit --no-fund

FROM node
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY server.js .
ENTRYPOINT ["node"]
CMD ["server.js"]
"""
SERVER = """const app = require('express')();
app.get('/', (request, reply) => reply.send('node ONE'));
app.listen(8000);
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="oga") as directory, engines.onggi(Path(directory)) as running:
        programs.load_base(running)
        context = Path(directory) / "lists"
        write(context, {"Dockerfile": APT, "ca.crt": TRUSTED.read_text()})
        done = running.run("onggi", "build", "-t", "lists:1", str(context), check=False, timeout=300)
        if done.returncode:
            pytest.skip(f"needs a mirror of Debian that a build reaches: {done.stderr[-300:]}")
        yield running
        running.remove_all()


def write(context: Path, files: dict[str, str]) -> None:
    context.mkdir(exist_ok=True)
    for name, text in files.items():
        (context / name).write_text(text)


CLIENTS = ("onggi", "docker", "buildx", "compose")


def build(engine: Engine, client: str, context: Path, image: str, target: str = "") -> str:
    """What the client says. Clients: onggi, docker (the classic door), buildx, compose."""
    words = ["-t", image, *(["--target", target] if target else [])]
    if client in ("onggi", "docker"):
        done = engine.run(client, "build", *words, str(context), timeout=300)
        return done.stdout + done.stderr
    config = context.parent / "config"
    config.mkdir(exist_ok=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(config), "DOCKER_CONFIG": str(config)}
    command = [str(BUILDX), "build", "--progress", "plain", *words, str(context)]
    if client == "compose":
        said = {"context": str(context), **({"target": target} if target else {})}
        file = config / "compose.json"
        file.write_text(json.dumps({"services": {"app": {"image": image, "build": said}}}))
        command = [str(COMPOSE), "-f", str(file), "--progress", "plain", "build"]
    ended = subprocess.run(
        command, env={**env, "DOCKER_HOST": engine.host}, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def answer(engine: Engine, image: str, port: int) -> str:
    """What a container of the image says over HTTP, through a published port."""
    engine.docker("run", "-d", "--name", "app", "-p", f"127.0.0.1::{port}", image)
    url = f"http://127.0.0.1:{programs.port_of(engine, 'app')}/"
    said: list[str] = []

    def asked() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                said.append(reply.read().decode())
        except OSError:
            return False
        return True

    programs.within(30, asked)
    engine.docker("rm", "-f", "-v", "app")
    return said[-1].strip()


def rows(engine: Engine, image: str, port: int) -> str:
    """What a database answers, in a container of the image."""
    engine.docker("run", "-d", "--name", "app", image)
    query = ("exec", "app", "psql", "-h", "127.0.0.1", "-Atc", "select name from jars")
    programs.within(30, lambda: engine.run("docker", *query, check=False).stdout)
    said = engine.docker(*query).strip()
    engine.docker("stop", "-t", "20", "app")
    engine.docker("rm", "-v", "app")
    return said


class Application(NamedTuple):
    """`files` with ONE in the file `edited`, which a container of the image answers."""

    files: dict[str, str]
    edited: str
    first: str  # the client that runs all steps
    port: int
    ask: Callable[[Engine, str, int], str] = answer
    target: str = ""


SCHEMA = "create table jars (name text);\n\ninsert into jars values ('postgres ONE');\n\n"
REQUIREMENTS = "flask\ngunicorn\n"
PACKAGE = '{"dependencies": {"express": "4"}}'
APPLICATIONS = {
    "python": Application({"Dockerfile": PYTHON, "requirements.txt": REQUIREMENTS, "app.py": APP}, "app.py", "buildx", 8000),
    "nginx": Application({"Dockerfile": WEB, "index.html": "nginx ONE\n"}, "index.html", "onggi", 80, target="web"),
    "postgres": Application({"Dockerfile": WEB, "schema.sql": SCHEMA}, "schema.sql", "buildx", 0, rows, "database"),
    "c": Application({"Dockerfile": C, "serve.c": SERVE}, "serve.c", "docker", 8080),
    "node": Application({"Dockerfile": NODE, "server.js": SERVER, "package.json": PACKAGE}, "server.js", "compose", 8000),
}  # fmt: skip


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application_by_every_client(engine: Engine, tmp_path: Path, name: str) -> None:
    need()
    if not COMPOSE.exists():
        pytest.skip(f"{COMPOSE} is missing: run scripts/go-client compose")
    app, context = APPLICATIONS[name], tmp_path / "context"
    write(context, app.files)
    said = build(engine, app.first, context, f"{name}:first", app.target)
    assert "Setting up" in said, "no package was installed"
    assert app.ask(engine, f"{name}:first", app.port) == f"{name} ONE"
    for client in CLIENTS:
        if client == app.first:
            continue
        write(context, {app.edited: app.files[app.edited].replace("ONE", client)})
        said = build(engine, client, context, f"{name}:{client}", app.target)
        assert "CACHED" in said or "Using cache" in said
        assert "Setting up" not in said and "added " not in said, "the packages were installed once more"
        assert app.ask(engine, f"{name}:{client}", app.port) == f"{name} {client}"


def test_a_stage_that_nobody_needs_is_not_built(engine: Engine, tmp_path: Path) -> None:
    context = tmp_path / "context"
    write(context, APPLICATIONS["nginx"].files)
    said = build(engine, "docker", context, "web:1", "web")
    assert "initdb" not in said.replace("RUN initdb", "")
