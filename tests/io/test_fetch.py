import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from nearfar.errors import InputError, ResourceError
from nearfar.io import fetch
from nearfar.io.fetch import fetch_bytes


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        body = {"/photo": b"photo", "/empty": b"", "/big": b"x" * 4096}[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def address():
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_url(address, monkeypatch):
    assert fetch_bytes(f"{address}/photo") == b"photo"
    with pytest.raises(InputError, match="404"):
        fetch_bytes(f"{address}/missing")
    with pytest.raises(InputError, match="empty"):
        fetch_bytes(f"{address}/empty")
    monkeypatch.setattr(fetch, "MAX_DOWNLOAD_BYTES", 1000)
    with pytest.raises(ResourceError):
        fetch_bytes(f"{address}/big")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "http://[bad/x", "http://"])
def test_unreachable_address(url):
    with pytest.raises(InputError, match="cannot be fetched"):
        fetch_bytes(url)


def test_files(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"1234")
    assert fetch_bytes(tmp_path / "a") == b"1234"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        fetch_bytes(tmp_path / "pipe")
    with pytest.raises(InputError, match="cannot be read"):
        fetch_bytes(tmp_path / "a" / "b")
    monkeypatch.setattr(fetch, "MAX_FILE_BYTES", 3)
    with pytest.raises(ResourceError):
        fetch_bytes(tmp_path / "a")
