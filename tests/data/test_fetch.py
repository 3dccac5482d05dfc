"""Against a server of our own on 127.0.0.1: whatever it does, only the right bytes get the file's name."""

import hashlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dlcli.data.fetch import fetch
from dlcli.errors import DataError

CONTENT = bytes(range(256)) * 4000
SIZE, SHA256 = len(CONTENT), hashlib.sha256(CONTENT).hexdigest()
CUT = 300_000


class Handler(BaseHTTPRequestHandler):
    """Answer by path: /good, /cut (ends early), /plain (ignores ranges), /page, /wrong, /silent, /gone."""

    protocol_version = "HTTP/1.0"

    def do_GET(self):
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.path != "/plain" else 0
        self.server.seen.append((self.path, start))
        body = {"/wrong": b"\0" * SIZE, "/page": b"<html>Please log in</html>"}.get(self.path, CONTENT)[start:]
        if self.path == "/silent":
            time.sleep(1.0)
            return
        if self.path == "/gone":
            self.send_error(404)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{SIZE - 1}/{SIZE}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:CUT] if self.path == "/cut" else body)

    def log_message(self, *words):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("DL_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        found.seen = []
        found.at = f"http://127.0.0.1:{found.server_address[1]}"
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def get(server, tmp_path):
    path = tmp_path / "set" / "file.gz"

    def run(*places, **options):
        options = {"size": SIZE, "sha256": SHA256, "timeout": 0.3} | options
        fetch([place if "://" in place else server.at + place for place in places], path, **options)

    run.path, run.part = path, path.with_name("file.gz.part")
    return run


def _stands(get):
    assert get.path.read_bytes() == CONTENT
    assert not get.part.exists()


def test_a_good_server(get):
    get("/good")
    _stands(get)


def test_a_cut_off_transfer_goes_on_where_it_stopped(get, server):
    get("/cut")
    _stands(get)
    assert server.seen == [("/cut", start) for start in range(0, SIZE, CUT)]


def test_the_part_outlives_the_process(get, server):
    get.path.parent.mkdir()
    get.part.write_bytes(CONTENT[:1000])
    get("/good")
    _stands(get)
    assert server.seen == [("/good", 1000)]


def test_a_server_without_ranges_starts_over(get, server):
    get.path.parent.mkdir()
    get.part.write_bytes(b"y" * 1000)
    get("/plain")
    _stands(get)


def test_a_poisoned_part_is_thrown_away(get, server):
    get.path.parent.mkdir()
    get.part.write_bytes(b"y" * 1000)
    get("/good")
    _stands(get)
    assert server.seen == [("/good", 1000), ("/good", 0)]


@pytest.mark.parametrize("content", [b"", b"y" * SIZE, b"y" * (SIZE + 5)])
def test_parts_of_odd_length(get, content):
    get.path.parent.mkdir()
    get.part.write_bytes(content)
    get("/good")
    _stands(get)


def test_the_next_mirror_serves(get, server):
    get("/gone", "/page", "/wrong", "http://127.0.0.1:1/closed", "/silent", "/good")
    _stands(get)
    assert server.seen[-1] == ("/good", 0)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("/gone", "404"),
        ("/page", "offers 26 bytes"),
        ("/wrong", "SHA-256"),
        ("http://127.0.0.1:1/closed", "refused"),
        ("/silent", "timed out|closed connection"),
    ],
)
def test_failures_leave_no_file_and_say_why(get, place, words):
    started = time.perf_counter()
    with pytest.raises(DataError, match=words):
        get(place)
    assert not get.path.exists()
    assert not get.path.parent.exists()  # it was made for the file
    assert time.perf_counter() - started < 3


def test_a_folder_that_was_there_before_stays(get):
    get.path.parent.mkdir()
    with pytest.raises(DataError, match="404"):
        get("/gone")
    assert get.path.parent.exists()


def test_wrong_hash_of_a_resumed_file_ends(get, server):
    with pytest.raises(DataError, match="SHA-256"):
        get("/cut", sha256="0" * 64)
    assert not get.path.exists()
    assert len(server.seen) <= 8


def test_offline_asks_nobody(get, server, monkeypatch):
    monkeypatch.setenv("DL_OFFLINE", "1")
    with pytest.raises(DataError, match="DL_OFFLINE=1"):
        get("/good")
    assert not server.seen
    assert not get.path.parent.exists()


def test_a_folder_that_cannot_be_made(get, tmp_path):
    (tmp_path / "set").write_text("a file where the folder belongs")
    with pytest.raises(DataError, match="File exists"):
        get("/good")


def test_two_at_once_fetch_once(get, server):
    threads = [threading.Thread(target=get, args=("/good",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _stands(get)
    assert len(server.seen) == 1
