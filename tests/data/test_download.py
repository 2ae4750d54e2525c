"""Downloading, from a server on this machine that can break off and send wrong bytes."""

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from minires.data import cifar10, download, load

from . import archives

ARCHIVE = archives.tar_gz(cifar10.BINARY.folder, archives.batches("binary", count=40))
MIRRORS = cifar10.BINARY.mirrors
OFFICIAL = f"/official/{cifar10.BINARY.archive}"


class Server(ThreadingHTTPServer):
    """Serves ARCHIVE under every path but /missing, and writes down what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = ARCHIVE
        self.asked: list[tuple[str, str | None]] = []  # path and Range header of every request
        self.breaks_off_after: list[int] = []  # bytes of each of the first answers
        self.ranges = True

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        if self.path.startswith("/missing"):
            return self.send_error(404)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if wanted and start >= len(self.server.content):
            return self.send_error(416)
        partly = bool(wanted) and self.server.ranges
        body = self.server.content[start if partly else 0 :]
        self.send_response(206 if partly else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cuts = self.server.breaks_off_after
        self.wfile.write(body[: cuts.pop(0)] if cuts else body)
        return None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A running server that is the official host and has the official archive."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        md5 = hashlib.md5(ARCHIVE).hexdigest()
        layout = dataclasses.replace(cifar10.BINARY, md5=md5, host=server.url("/official/"))
        monkeypatch.setattr(cifar10, "LAYOUTS", (layout,))
        monkeypatch.setattr(cifar10, "BINARY", layout)
        monkeypatch.setattr(download, "PAUSES", (0.0, 0.0))
        monkeypatch.setattr(download, "TIMEOUT", (5.0, 5.0))
        monkeypatch.delenv(MIRRORS, raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server
        server.shutdown()
        thread.join(timeout=5)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, not yet made."""
    monkeypatch.setenv("MINIRES_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_nowhere_is_downloaded_once_into_the_cache(server: Server, cache: Path) -> None:
    for _ in range(2):
        assert len(load("cifar10").train_images) == 80
    assert server.asked == [(OFFICIAL, None)]
    assert contents(cache) == ["cifar-10-binary.tar.gz"]


def test_a_given_folder_takes_the_download(server: Server, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    load("cifar10", data_dir=tmp_path / "mine")
    assert contents(tmp_path / "mine") == ["cifar-10-binary.tar.gz"]
    assert not cache.exists()


def test_auto_never_downloads(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minires.data.generate", lambda: "drawings")
    assert load("auto") == "drawings"
    assert server.asked == []


def test_a_lost_connection_is_taken_up_where_it_broke_off(server: Server, cache: Path) -> None:
    server.breaks_off_after = [1000, 0, 500]
    path = download.download(cache, cifar10.BINARY)
    assert path.read_bytes() == ARCHIVE
    ranges = [wanted for _, wanted in server.asked]
    assert ranges == [None, "bytes=1000-", "bytes=1000-", "bytes=1500-"]


def test_a_later_run_goes_on_with_the_part(server: Server, cache: Path) -> None:
    server.breaks_off_after = [1000, 0, 0, 0]
    with pytest.raises(ConnectionError, match="the connection was lost"):
        download.download(cache, cifar10.BINARY)
    assert contents(cache) == ["cifar-10-binary.tar.gz.part"]
    assert download.download(cache, cifar10.BINARY).read_bytes() == ARCHIVE
    assert server.asked[-1] == (OFFICIAL, "bytes=1000-")


def test_a_part_that_is_whole_is_only_checked(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "cifar-10-binary.tar.gz.part").write_bytes(ARCHIVE)
    assert download.download(cache, cifar10.BINARY).read_bytes() == ARCHIVE
    assert contents(cache) == ["cifar-10-binary.tar.gz"]


def test_a_host_without_ranges_sends_all_again(server: Server, cache: Path) -> None:
    server.ranges, server.breaks_off_after = False, [1000]
    assert download.download(cache, cifar10.BINARY).read_bytes() == ARCHIVE


def test_wrong_bytes_are_deleted_and_named(server: Server, cache: Path) -> None:
    server.content = ARCHIVE[:-1] + b"?"
    with pytest.raises(ConnectionError, match=r"/official/.*: MD5 hash .* does not match"):
        download.download(cache, cifar10.BINARY)
    assert contents(cache) == []


def test_mirrors_are_tried_first_and_in_order(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirrors = f"{server.url('/missing')}, {server.url('/near')},"
    monkeypatch.setenv(MIRRORS, mirrors)
    assert download.download(cache, cifar10.BINARY).read_bytes() == ARCHIVE
    assert [path for path, _ in server.asked] == ["/missing", "/near"]


def test_failure_tells_every_url_and_what_to_do(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = dataclasses.replace(cifar10.BINARY, host=server.url("/missing?"))
    monkeypatch.setattr(cifar10, "BINARY", missing)
    monkeypatch.setenv(MIRRORS, "no url")
    with pytest.raises(ConnectionError) as failure:
        load("cifar10")
    text = str(failure.value)
    assert "no url: " in text
    assert "404" in text
    assert f"Put cifar-10-binary.tar.gz into {cache} by hand" in text
    assert MIRRORS in text


def test_the_wait_is_announced(
    server: Server, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    download.download(cache, cifar10.BINARY)
    said = capsys.readouterr().out
    assert "170 MB" in said
    assert "about 52 minutes" in said
    assert str(cache) in said
    assert MIRRORS in said
