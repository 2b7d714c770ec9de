"""`import http://...`: the engine fetches the tar, as dockerd does; what fails leaves nothing behind."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from tests import engines
from tests.engines import Engine

pytestmark = pytest.mark.root


class Site(http.server.BaseHTTPRequestHandler):
    """A tar at /root.tar, also by a redirection; half of it at /half; everything else is a 404."""

    def do_GET(self) -> None:
        content = engines.busybox_rootfs()
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/root.tar")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path not in ("/root.tar", "/half"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if self.path == "/root.tar" else content[: len(content) // 2])

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("client", ["docker", "onggi"])
@pytest.mark.parametrize("path", ["/root.tar", "/moved"])
def test_an_image_from_an_address(
    onggi: Engine, site: str, client: str, path: str, docker_client: str
) -> None:
    done = onggi.run(client, "import", "-c", 'CMD ["true"]', f"http://{site}{path}", f"fetched:{client}")
    assert "sha256:" in done.stdout and "Downloading from http://" in done.stdout + done.stderr
    history = onggi.api("GET", f"/images/fetched:{client}/history")
    assert history[0]["Comment"] == f"Imported from http://{site}{path}"
    onggi.onggi("run", "--rm", f"fetched:{client}")
    onggi.api("DELETE", f"/images/fetched:{client}")


def test_addresses_that_fail(onggi: Engine, site: str) -> None:
    before = onggi.api("GET", "/images/json?all=1")
    for source, status, words in (
        (f"{site}/absent", 404, "status 404 Not Found"),  # without a scheme it is http
        ("http://127.0.0.1:1/", 503, "failed to GET http://127.0.0.1:1/"),
        ("ftp://127.0.0.1/x", 400, "only http and https addresses are fetched"),
        ("file:///etc/passwd", 400, "only http and https addresses are fetched"),
        ("http://", 400, "only http and https addresses are fetched"),
    ):
        said, text = onggi.request("POST", f"/images/create?fromSrc={source}&repo=failed")
        assert said == status and words in text.decode(), (source, said, text)
    _, text = onggi.request("POST", f"/images/create?fromSrc=http://{site}/half&repo=failed")
    assert '"error"' in text.decode().splitlines()[-1]
    assert onggi.api("GET", "/images/json?all=1") == before
