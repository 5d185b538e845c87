"""Downloads: found, refused, broken off, offline; each with a way to go on."""

import functools
import http.server
import json
import threading
from dataclasses import replace

import huggingface_hub
import pytest

from nearfar.errors import OutputError, WeightsError
from nearfar.weights.hub import fetch
from nearfar.weights.registry import ENTRIES
from nearfar.weights.safe import sha256_of

CONTENT = bytes(range(256)) * 9000


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        if self.path.endswith("short.pth"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:1000])
        else:
            super().do_GET()


@pytest.fixture
def address(tmp_path):
    """A local server of one file, and its entry."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "file.pth").write_bytes(CONTENT)
    handler = functools.partial(Handler, directory=str(tmp_path / "served"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def entry(url, tmp_path):
    digest = sha256_of(tmp_path / "served" / "file.pth")
    return replace(ENTRIES["ppd-moge2"], url=url, file="ours.pth", sha256=digest)


def test_an_address_is_downloaded_with_progress(address, tmp_path, cache):
    seen = []
    asked = entry(f"{address}/file.pth", tmp_path)
    path = fetch(asked, progress=lambda *state: seen.append(state))
    assert path == cache / "weights" / "ours.pth" and path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and len(seen) > 1
    assert not (cache / "weights" / "downloads" / "ppd-moge2").exists()


def test_other_content_than_pinned_is_refused(address, tmp_path, cache):
    asked = replace(entry(f"{address}/file.pth", tmp_path), sha256="0" * 64)
    with pytest.raises(WeightsError, match="expected 000000000000"):
        fetch(asked)
    assert not (cache / "weights" / "ours.pth").exists()


def test_a_broken_off_download_is_not_taken_for_whole(address, tmp_path, cache):
    with pytest.raises(WeightsError, match="1000 of 2304000|no download"):
        fetch(entry(f"{address}/short.pth", tmp_path))
    assert not (cache / "weights" / "ours.pth").exists()


def test_a_missing_page_says_where_to_put_the_file(address, tmp_path, cache):
    with pytest.raises(WeightsError) as caught:
        fetch(entry(f"{address}/none.pth", tmp_path))
    message = str(caught.value)
    assert "404" in message and str(cache / "weights" / "ours.pth") in message
    assert "or pass its path" in message and "\n" not in message


def test_plain_http_needs_a_pinned_content(address, tmp_path):
    with pytest.raises(WeightsError, match="not https"):
        fetch(replace(entry(f"{address}/file.pth", tmp_path), sha256=None))


def test_offline_hub_says_where_to_put_the_file(monkeypatch, cache):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError) as caught:
        fetch(ENTRIES["moge2-vitl"])
    message = str(caught.value)
    assert "moge2-vitl: no download from hub repository Ruicheng/moge-2-vitl-normal" in message
    assert str(cache / "weights" / "moge2.pt") in message and "\n" not in message


def test_hub_downloads_get_our_file_name(monkeypatch, cache):
    def download(repo, name, *, local_dir):
        local_dir.mkdir(parents=True)
        (local_dir / name).write_bytes(f"{repo}/{name}".encode())
        return str(local_dir / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    path = fetch(ENTRIES["moge2-vitl"])
    assert path == cache / "weights" / "moge2.pt"
    assert path.read_text() == "Ruicheng/moge-2-vitl-normal/model.pt"


def test_the_first_download_pins_revision_and_content(monkeypatch, cache):
    asked, content = [], [b"first"]

    def download(repo, name, *, local_dir, revision="newest"):
        asked.append(revision)
        noted = local_dir / ".cache" / "huggingface" / "download"
        noted.mkdir(parents=True)
        (noted / f"{name}.metadata").write_text("c0ffee\netag\n1.0\n")
        (local_dir / name).write_bytes(content[0])
        return str(local_dir / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    path = fetch(ENTRIES["moge2-vitl"])
    kept = json.loads((cache / "weights" / "moge2.pt.origin.json").read_text())
    assert kept["revision"] == "c0ffee" and kept["sha256"] == sha256_of(path)
    path.unlink()
    assert fetch(ENTRIES["moge2-vitl"]).read_bytes() == b"first"
    assert asked == ["newest", "c0ffee"]
    path.unlink()
    content[0] = b"changed"
    with pytest.raises(WeightsError, match="gives another file .* than at the first download"):
        fetch(ENTRIES["moge2-vitl"])
    assert not path.exists()
    (cache / "weights" / "moge2.pt.origin.json").write_text("[")
    with pytest.raises(WeightsError, match="is damaged"):
        fetch(ENTRIES["moge2-vitl"])


def test_an_unencrypted_hub_needs_a_pinned_content(monkeypatch, cache):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://hub.example")
    with pytest.raises(WeightsError, match="not https and its content not pinned"):
        fetch(ENTRIES["moge2-vitl"])


def test_nowhere_to_download_from_and_nowhere_to_write(monkeypatch, tmp_path):
    with pytest.raises(WeightsError, match="has no address"):
        fetch(replace(ENTRIES["moge2-vitl"], hub_repo=None))
    (tmp_path / "file").touch()
    monkeypatch.setenv("NEARFAR_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="cannot be made"):
        fetch(ENTRIES["moge2-vitl"])
