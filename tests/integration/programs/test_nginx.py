"""nginx, published to the host, with its pages and its configuration bound read-only."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from pathlib import Path

import pytest

from tests.engines import Engine
from tests.programs import IMAGE, inside, port_of, start, within

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]
SITE = """server {
  listen 80; listen [::]:80; root /srv/www;
  location /slow { limit_rate 2m; alias /srv/www/big; }
  location /who { return 200 "$remote_addr\\n"; }
  location /generation { return 200 "GENERATION\\n"; }
}
"""


def serve(engine: Engine, place: Path) -> str:
    (place / "www").mkdir(exist_ok=True)
    (place / "www" / "index.html").write_text("welcome to the jar\n")
    (place / "site").write_text(SITE.replace("GENERATION", "one"))
    place.chmod(0o755)
    start(
        engine, "web", "-p", "127.0.0.1::80", "--tmpfs", "/var/lib/nginx", "-v", f"{place}/www:/srv/www:ro",
        "-v", f"{place}/site:/etc/nginx/sites-enabled/default:ro", IMAGE, "nginx", "-g", "daemon off;",
    )  # fmt: skip
    url = f"http://127.0.0.1:{port_of(engine, 'web')}"
    within(15, lambda: get(url) == b"welcome to the jar\n")
    return url


def get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=20) as reply:
            return bytes(reply.read())
    except OSError:
        return b""


def test_it_is_published_and_found_by_name(engine: Engine, tmp_path: Path) -> None:
    url = serve(engine, tmp_path)
    (tmp_path / "www" / "new.html").write_text("new\n")  # a bind shows at once what the host writes
    assert get(f"{url}/new.html") == b"new\n"
    assert inside(engine, "curl", "-s", "http://web/") == "welcome to the jar\n"
    assert inside(engine, "curl", "-s", "http://web/who").startswith(("172.", "10.", "192.168."))
    assert sum(get(url) == b"welcome to the jar\n" for _ in range(200)) == 200
    # a new file of that name is another inode: the bind of the file keeps the old one, as with Docker
    (tmp_path / "site").write_text(SITE.replace("GENERATION", "two"))
    engine.docker("kill", "-s", "HUP", "web")
    within(10, lambda: get(f"{url}/generation") == b"two\n")
    engine.docker("stop", "web")
    assert get(url) == b""


def test_a_download_goes_on_while_the_engine_is_dead(engine: Engine, tmp_path: Path) -> None:
    url = serve(engine, tmp_path)
    content = os.urandom(12 << 20)
    (tmp_path / "www" / "big").write_bytes(content)
    with urllib.request.urlopen(f"{url}/slow", timeout=60) as reply:
        got = reply.read(1 << 20)
        engine.kill()
        got += reply.read(9 << 20)  # more than lies in sockets: it is sent while there is no engine
        engine.start()
        got += reply.read()
    assert hashlib.sha256(got).digest() == hashlib.sha256(content).digest()
    assert get(url) == b"welcome to the jar\n"
