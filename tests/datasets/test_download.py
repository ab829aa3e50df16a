"""Downloads from a server on this machine: resumed, checked, unpacked, and by hand where terms forbid them."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mmbench.datasets import DATASETS
from mmbench.datasets.dataset import DataError
from mmbench.datasets.download import download
from mmbench.datasets.physionet2012 import Physionet2012
from mmbench.datasets.sources import SOURCES, RemoteFile, Source

CONTENT = bytes(range(256)) * 4000


@dataclass
class Served:
    """What a server has and was asked for.

    Attributes:
        files: path -> content.
        cut: path -> after so many bytes of an answer the connection is closed, once.
        ranges: whether it knows ranges.
        asked: path and range of every request.
    """

    files: dict[str, bytes]
    cut: dict[str, int] = field(default_factory=dict)
    ranges: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def served() -> Iterator[Served]:
    state = Served({})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, wanted = self.path.lstrip("/"), self.headers.get("Range", "")
            state.asked.append((path, wanted))
            if path not in state.files:
                self.send_error(404)
                return
            content, begin = state.files[path], 0
            if state.ranges and (match := re.fullmatch(r"bytes=(\d+)-", wanted)):
                begin = int(match[1])
                if begin >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
            else:
                self.send_response(200)
            rest = content[begin:]
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest[: state.cut.pop(path, len(rest))])
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def source(content: bytes = CONTENT, **more: object) -> Source:
    digest = hashlib.sha256(content).hexdigest()
    return Source("free", "", "https://example.org/", (RemoteFile("a.bin", "a.bin", len(content), digest),))


def test_an_interrupted_download_goes_on_where_it_ended(served: Served, tmp_path: Path):
    served.files["a.bin"], served.cut["a.bin"] = CONTENT, 300_000
    with pytest.raises(DataError, match="300000 bytes are kept: the same command goes on from there"):
        download(source(), tmp_path, served.address)
    assert not (tmp_path / "a.bin").exists()
    told: list[tuple[str, int, int]] = []
    (place,) = download(source(), tmp_path, served.address, lambda *given: told.append(given))
    assert place.read_bytes() == CONTENT
    assert served.asked == [("a.bin", ""), ("a.bin", "bytes=300000-")]
    assert told[-1] == ("a.bin", len(CONTENT), len(CONTENT))
    download(source(), tmp_path, served.address)  # it is there and whole
    assert len(served.asked) == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.bin"]


def test_a_server_without_ranges_sends_the_whole(served: Served, tmp_path: Path):
    served.files["a.bin"], served.cut["a.bin"], served.ranges = CONTENT, 1000, False
    with pytest.raises(DataError, match="1000 bytes are kept"):
        download(source(), tmp_path, served.address)
    (place,) = download(source(), tmp_path, served.address)
    assert place.read_bytes() == CONTENT


def test_a_part_of_another_version_is_dropped_and_the_file_loaded_anew(served: Served, tmp_path: Path):
    served.files["a.bin"] = CONTENT
    (tmp_path / ".a.bin.part").write_bytes(b"other" * 100)
    (place,) = download(source(), tmp_path, served.address)
    assert place.read_bytes() == CONTENT
    assert [wanted for _, wanted in served.asked] == ["bytes=500-", ""]


def test_what_is_not_what_was_published_is_not_kept(served: Served, tmp_path: Path):
    served.files["a.bin"] = CONTENT[:-1] + b"x"
    with pytest.raises(DataError, match="what was downloaded is not what was published, and is gone"):
        download(source(), tmp_path, served.address)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.bin").write_bytes(b"damaged")  # what lies there and is damaged is loaded anew
    served.files["a.bin"] = CONTENT
    (place,) = download(source(), tmp_path, served.address)
    assert place.read_bytes() == CONTENT


def test_a_file_that_is_not_there_and_an_address_without_encryption_are_said(served: Served, tmp_path: Path):
    with pytest.raises(DataError, match=r"a\.bin: cannot be downloaded \(the server answered 404"):
        download(source(), tmp_path, served.address)
    with pytest.raises(DataError, match="by https alone"):
        download(source(), tmp_path, "http://example.org/")
    with pytest.raises(DataError, match="cannot be downloaded"):
        download(source(), tmp_path, "http://127.0.0.1:9/")


def archive(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    return packed.getvalue()


def test_an_archive_cannot_write_outside_of_its_folder(served: Served, tmp_path: Path):
    served.files["a.tar.gz"] = archive({"../out.txt": b"x"})
    digest = hashlib.sha256(served.files["a.tar.gz"]).hexdigest()
    packed = Source("free", "", "https://example.org/", (RemoteFile("a.tar.gz", "inside/", 1, digest),))
    with pytest.raises(DataError, match="cannot be unpacked"):
        download(packed, tmp_path / "data", served.address)
    assert not (tmp_path / "data" / "out.txt").exists()


def test_a_dataset_is_downloaded_checked_and_read(served: Served, tmp_path: Path):
    """The files of a stand-in, served in the place of the published ones with a list of checksums."""
    made = tmp_path / "made"
    made.mkdir()
    Physionet2012().synthesize(made)
    stays = {f"set-a/{file.name}": file.read_bytes() for file in (made / "set-a").iterdir()}
    served.files = {"Outcomes-a.txt": (made / "Outcomes-a.txt").read_bytes(), "set-a.tar.gz": archive(stays)}
    sums = [f"{hashlib.sha256(content).hexdigest()} {path}" for path, content in served.files.items()]
    own = SOURCES["physionet2012"]
    served.files[own.sums] = "\n".join(sums).encode()
    root = tmp_path / "data"
    places = download(own, root / "physionet2012", served.address)
    assert [place.name for place in places] == ["Outcomes-a.txt", "physionet2012"]
    located = Physionet2012().locate(root)
    assert len(located.files) == 1 + len(stays)
    assert sum(len(part) for part in located.load().values()) == len(stays)
    before = len(served.asked)
    download(own, root / "physionet2012", served.address)
    assert served.asked[before:] == [(own.sums, "")]  # nothing but the list
    served.files[own.sums] = sums[0].encode()
    with pytest.raises(DataError, match=r"names no checksum of set-a\.tar\.gz"):
        download(own, root / "other", served.address)


def test_every_dataset_has_a_source_and_says_what_to_do_by_hand_or_where_its_files_are():
    assert set(SOURCES) == set(DATASETS)
    for name, one in SOURCES.items():
        assert one.licence, name
        assert one.licence_address.startswith("https://"), name
        assert one.citation, name
        if one.base:
            assert one.base.startswith("https://"), name
            assert one.base.endswith("/"), name
            assert all(file.sha256 or one.sums for file in one.files), name
        else:
            assert "https://" in one.by_hand, name
            assert "{folder}" in one.by_hand, name
