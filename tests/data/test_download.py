"""Finding, downloading and reading files that do not ship.  The only network here is a server on 127.0.0.1."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import struct
import threading
import urllib.request
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygen as tg
from tinygen.data import public, remote
from tinygen.data.idx import parse_idx
from tinygen.data.remote import DamagedFileError, RemoteFile

pytestmark = pytest.mark.host


class Server(http.server.ThreadingHTTPServer):
    """Serves ``files``; ``cut`` ends the next answer after so many bytes, ``ranges`` allows continuing."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cut: int | None = None
        self.ranges = True
        self.asked: list[tuple[str, str | None]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        body = self.server.files.get(self.path.strip("/"))
        if body is None:
            self.send_error(404)
            return
        start = 0
        if wanted and self.server.ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        body = body[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut, self.server.cut = self.server.cut, None
        self.wfile.write(body if cut is None else body[:cut])

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache, no Debian folder, and no address but 127.0.0.1."""
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TINYGEN_DATA", raising=False)
    monkeypatch.setattr(public, "_DEBIAN_FASHION", tmp_path / "debian")
    real = urllib.request.urlopen

    def local(request: urllib.request.Request, **options: Any) -> Any:
        assert request.full_url.startswith("http://127.0.0.1:"), f"a test touched the network: {request.full_url}"
        return real(request, **options)

    monkeypatch.setattr(urllib.request, "urlopen", local)


def known(raw: bytes, *urls: str, name: str = "numbers", archive: str = "numbers.gz") -> RemoteFile:
    return RemoteFile(name, len(raw), hashlib.sha256(raw).hexdigest(), urls, archive)


RAW = np.random.default_rng(0).integers(0, 50, 300_000, dtype=np.uint8).tobytes()
PACKED = gzip.compress(RAW)


# --- downloads ---------------------------------------------------------------------------------------------------


def test_download(server: Server, tmp_path: Path) -> None:
    server.files["numbers.gz"] = PACKED
    file = known(RAW, server.url("numbers.gz"))
    assert remote.download(file, tmp_path / "new" / "folder", progress=False) == RAW
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["numbers.gz"]
    assert remote.find(file, [tmp_path / "new" / "folder"]) == RAW


def test_progress_is_shown(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.files["numbers.gz"] = PACKED
    remote.download(known(RAW, server.url("numbers.gz")), tmp_path)
    shown = capsys.readouterr().err
    assert "numbers.gz" in shown
    assert "100%" in shown


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("cut", [0, 1, 70_000])
def test_an_interrupted_download_is_continued(server: Server, tmp_path: Path, cut: int, ranges: bool) -> None:
    server.files["numbers.gz"] = PACKED
    server.cut, server.ranges = cut, ranges
    file = known(RAW, server.url("numbers.gz"))
    with pytest.raises(ConnectionError, match=rf"numbers.*{cut} of {len(PACKED)} bytes"):
        remote.download(file, tmp_path, progress=False)
    assert (tmp_path / "numbers.gz.part").read_bytes() == PACKED[:cut]
    assert remote.find(file, [tmp_path]) is None
    assert remote.download(file, tmp_path, progress=False) == RAW
    assert server.asked[-1][1] == (f"bytes={cut}-" if cut else None)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["numbers.gz"]


def test_another_server_continues(server: Server, tmp_path: Path) -> None:
    server.files["a"] = server.files["b"] = PACKED
    server.cut = 1000
    file = known(RAW, server.url("missing"), server.url("a"), server.url("b"))
    assert remote.download(file, tmp_path, progress=False) == RAW
    assert server.asked == [("/missing", None), ("/a", None), ("/b", "bytes=1000-")]


def test_a_complete_part_is_taken_without_another_byte(server: Server, tmp_path: Path) -> None:
    server.files["numbers.gz"] = PACKED
    (tmp_path / "numbers.gz.part").write_bytes(PACKED)
    assert remote.download(known(RAW, server.url("numbers.gz")), tmp_path, progress=False) == RAW
    assert server.asked == [("/numbers.gz", f"bytes={len(PACKED)}-")]


@pytest.mark.parametrize("rubbish", [b"rubbish", b"r" * len(PACKED), b"r" * (len(PACKED) + 5)])
def test_a_part_of_another_file_is_started_again(server: Server, tmp_path: Path, rubbish: bytes) -> None:
    server.files["numbers.gz"] = PACKED
    (tmp_path / "numbers.gz.part").write_bytes(rubbish)
    assert remote.download(known(RAW, server.url("numbers.gz")), tmp_path, progress=False) == RAW


def test_a_corrupted_download_is_refused(server: Server, tmp_path: Path) -> None:
    server.files["bad"], server.files["good"] = gzip.compress(RAW[:-1] + b"!"), PACKED
    file = known(RAW, server.url("bad"))
    with pytest.raises(DamagedFileError, match=r"numbers could not be downloaded: http://127.*/bad.*SHA-256"):
        remote.download(file, tmp_path, progress=False)
    assert not list(tmp_path.glob("numbers*"))
    assert remote.download(known(RAW, server.url("bad"), server.url("good")), tmp_path, progress=False) == RAW


def test_no_server(tmp_path: Path) -> None:
    with Server() as gone:
        url = gone.url("numbers.gz")
    with pytest.raises(ConnectionError, match="numbers could not be downloaded"):
        remote.download(known(RAW, url), tmp_path, progress=False)
    with pytest.raises(ValueError, match="not an http"):
        remote.download(known(RAW, "file:///etc/hostname"), tmp_path, progress=False)


# --- damaged files -----------------------------------------------------------------------------------------------


@given(st.data())
def test_every_damage_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Cut, flipped, prolonged, foreign: plain or gzipped, the file is named and never read."""
    raw = bytes(range(200)) * 3
    stored = data.draw(st.sampled_from([raw, gzip.compress(raw, mtime=0)]))
    kind = data.draw(st.sampled_from(["cut", "flip", "prolong", "foreign"]))
    at = data.draw(st.integers(0, len(stored) - 1))
    if kind == "cut":
        damaged = stored[:at]
    elif kind == "flip":
        damaged = stored[:at] + bytes([stored[at] ^ (1 << data.draw(st.integers(0, 7)))]) + stored[at + 1 :]
    elif kind == "prolong":
        damaged = stored + data.draw(st.binary(min_size=1, max_size=9))
    else:
        damaged = data.draw(st.binary(max_size=700))
    path = tmp_path_factory.mktemp("damaged") / "numbers"
    path.write_bytes(damaged)
    try:
        found = remote.content(path, known(raw))
    except DamagedFileError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert found == raw  # a bit of the gzip header, or something after its end, that does not touch the content


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "numbers.gz"
    path.write_bytes(gzip.compress(bytes(50_000_000), 9))
    with pytest.raises(DamagedFileError, match="more bytes"):
        remote.content(path, known(b"short"))


# --- IDX ---------------------------------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    codes = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
    big = array.astype(array.dtype.newbyteorder(">"))
    header = struct.pack(f">HBB{array.ndim}I", 0, codes[array.dtype.str[1:]], array.ndim, *array.shape)
    return header + big.tobytes()


@given(st.sampled_from(["u1", "i1", "i2", "i4", "f4", "f8"]), st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_idx_round_trip(dtype: str, shape: list[int]) -> None:
    array = (np.arange(np.prod(shape)) % 100).reshape(shape).astype(dtype)
    found = parse_idx(idx(array), "x")
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype
    assert found.dtype.isnative


@given(st.data())
def test_idx_refuses_every_other_length_and_kind(data: st.DataObject) -> None:
    good = idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    cut = data.draw(st.integers(0, len(good) - 1))
    for bad in (good[:cut], good + b"\0" * (cut + 1), b"PK\x03\x04" + good, b"\x1f\x8b" + good, b"\0\0\x07\x01" + good):
        with pytest.raises(ValueError, match=r"^file name: "):
            parse_idx(bad, "file name")


# --- loaders -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, server: Server) -> dict[str, bytes]:
    """MNIST and Fashion-MNIST of five images, on the server, instead of the real ones; their files by name."""
    files = {}
    for table, folder in (("MNIST", "m"), ("FASHION", "f")):
        splits = {}
        for split, prefix in (("train", "train"), ("test", "t10k")):
            rng = np.random.default_rng(len(folder + split + table))
            arrays = (rng.integers(0, 256, (5, 28, 28), dtype=np.uint8), rng.integers(0, 10, 5, dtype=np.uint8))
            pair = []
            for array, kind in zip(arrays, ("images-idx3", "labels-idx1"), strict=True):
                name = f"{prefix}-{kind}-ubyte"
                raw = idx(array)
                server.files[f"{folder}/{name}.gz"] = gzip.compress(raw)
                files[f"{folder}/{name}"] = raw
                pair.append(known(raw, server.url(f"{folder}/{name}.gz"), name=name, archive=f"{name}.gz"))
            splits[split] = tuple(pair)
        monkeypatch.setattr(public, table, splits)
    return files


def write(folder: Path, files: dict[str, bytes], prefix: str, pack: Callable[[bytes], bytes] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in files.items():
        if name.startswith(prefix):
            short = name.removeprefix(prefix)
            (folder / (short + ".gz" if pack else short)).write_bytes(pack(raw) if pack else raw)


@pytest.mark.parametrize("name", ["mnist", "fashion"])
def test_load_downloads_when_asked_and_then_finds(
    small: dict[str, bytes], server: Server, name: str, tmp_path: Path
) -> None:
    for split in ("train", "test"):
        found = tg.data.load(name, split=split, download=True, progress=False)
        assert found.images.shape == (5, 1, 28, 28)
        assert (found.images.dtype, found.labels.dtype) == (np.float32, np.int64)
        raw = small[f"{name[0]}/{'train' if split == 'train' else 't10k'}-images-idx3-ubyte"]
        np.testing.assert_allclose(found.images.ravel() * 255, list(raw[16:]), rtol=1e-6)
    assert len(server.asked) == 4
    again = tg.data.load(name)
    assert len(server.asked) == 4  # found in the cache: no download, and none without being asked
    assert len(again.images) == 5


def test_search_order(small: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """data_dir, TINYGEN_DATA, cache; plain, gzipped, in torchvision's folders; a damaged one is not passed over."""
    write(tmp_path / "cache" / "tinygen" / "mnist", small, "m/", gzip.compress)
    assert len(tg.data.load("mnist").images) == 5
    monkeypatch.setenv("TINYGEN_DATA", str(tmp_path / "variable"))
    write(tmp_path / "variable" / "MNIST" / "raw", small, "m/")
    write(tmp_path / "here", small, "m/")
    looked: list[Path] = []
    real = remote.content
    monkeypatch.setattr(remote, "content", lambda path, file: (looked.append(path), real(path, file))[1])
    tg.data.load("mnist")
    tg.data.load("mnist", data_dir=tmp_path / "here")
    assert [path.parent for path in looked[::2]] == [tmp_path / "variable" / "MNIST" / "raw", tmp_path / "here"]
    write(tmp_path / "here", small, "f/")  # the same names, other files
    with pytest.raises(DamagedFileError, match=r"here.*is not train-images-idx3-ubyte or is damaged"):
        tg.data.load("mnist", data_dir=tmp_path / "here", download=True)


def test_debian_folder_is_for_fashion(small: dict[str, bytes], tmp_path: Path) -> None:
    write(tmp_path / "debian", small, "f/", lambda raw: gzip.compress(raw, 1, mtime=0))  # packed again, another .gz
    assert len(tg.data.load("fashion", split="test").images) == 5


@pytest.mark.parametrize("name", ["mnist", "fashion"])
def test_without_the_files_the_bundled_digits(small: dict[str, bytes], server: Server, name: str) -> None:
    with pytest.warns(UserWarning, match=r"download=True.*bundled digits 'mnist16'") as warned:
        found = tg.data.load(name, split="test")
    assert server.asked == []
    assert found.images.shape[1:] == (1, 16, 16)
    assert warned[0].filename == __file__  # points at the caller


def test_offline_the_bundled_digits_and_the_reason(small: dict[str, bytes], server: Server) -> None:
    server.files.clear()
    with pytest.warns(UserWarning, match=r"HTTP 404.*bundled digits 'mnist16'"):
        found = tg.data.load("mnist", download=True, progress=False)
    assert found.images.shape[1:] == (1, 16, 16)


def test_texts(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("text8", "some words " * 100)
    for table, raw in (("TEXT8", packed.getvalue()), ("SHAKESPEARE", b"First Citizen:\nBefore we proceed\n")):
        name = getattr(public, table).name
        server.files[name] = raw
        monkeypatch.setattr(public, table, known(raw, server.url(name), name=name, archive=""))
    with pytest.raises(FileNotFoundError, match=r"text8.*download=True"):
        tg.data.load("text8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tg.data.load("text8", download=True, progress=False) == "some words " * 100
        assert tg.data.load("shakespeare", download=True, progress=False).startswith("First Citizen:\n")
    assert tg.data.load("shakespeare", data_dir=tmp_path).startswith(
        "First Citizen:\n"
    )  # on from data_dir to the cache


def test_wrong_use_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no data set 'mnsit'.*mnist"):
        tg.data.load("mnsit")
    with pytest.raises(ValueError, match=r"'mnist' has no split 'valid'; it has train, test"):
        tg.data.load("mnist", split="valid")


def test_the_tables_are_those_of_the_published_sets() -> None:
    for table in (public.MNIST, public.FASHION):
        for pair, count in ((table["train"], 60_000), (table["test"], 10_000)):
            assert [file.size for file in pair] == [16 + count * 784, 8 + count]
            assert all(len(file.sha256) == 64 and file.urls[0].startswith("https://") for file in pair)
            assert all(url.endswith("/" + file.name + ".gz") for file in pair for url in file.urls)
