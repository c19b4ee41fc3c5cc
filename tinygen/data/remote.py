"""Floor 5. Files that do not ship: found on this machine, or downloaded when asked; verified before they are used."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import os
import sys
import urllib.error
import urllib.request
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CHUNK = 1 << 16


@dataclass(frozen=True)
class RemoteFile:
    """A file, known by the size and SHA-256 of its *unpacked* content, so that any gzip of it will do.

    ``archive`` is its name as the servers have it; ``urls`` are tried in order.
    """

    name: str
    size: int
    sha256: str
    urls: tuple[str, ...]
    archive: str = ""

    @property
    def saved_as(self) -> str:
        """The name a download gets."""
        return self.archive or self.name


class DamagedFileError(ValueError):
    """A file that is not what its name promises."""


def folders(data_dir: str | os.PathLike[str] | None) -> list[Path]:
    """Where to look, in this order: ``data_dir``, the environment variable TINYGEN_DATA, the user's cache folder."""
    given = [data_dir, os.environ.get("TINYGEN_DATA")]
    return [*(Path(folder).expanduser() for folder in given if folder), cache_folder()]


def cache_folder() -> Path:
    """The folder for data of this user that can be fetched again, as the operating system has it."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tinygen"


def find(file: RemoteFile, places: Sequence[Path]) -> bytes | None:
    """The content of the first copy of ``file`` in ``places``, plain or gzipped; None if there is none.

    A copy that is damaged raises :class:`DamagedFileError`; it is not passed over in silence.
    """
    for place in places:
        for name in dict.fromkeys([file.name, file.name + ".gz", file.saved_as]):
            if (place / name).is_file():
                return content(place / name, file)
    return None


def content(path: Path, file: RemoteFile) -> bytes:
    """The unpacked content of ``path``, if it is that of ``file``; else DamagedFileError with the reason."""
    with path.open("rb") as opened:
        stored = opened.read()
    unpacked = stored
    if stored[:2] == b"\x1f\x8b":
        try:
            unpacked = gzip.GzipFile(fileobj=io.BytesIO(stored)).read(file.size + 1)  # and no more, whatever it holds
        except (OSError, EOFError, zlib.error) as error:
            raise DamagedFileError(f"{path} is damaged: {error}; delete it and load with download=True") from error
    found = hashlib.sha256(unpacked).hexdigest()
    if found != file.sha256:
        length = f"{len(unpacked)} bytes" if len(unpacked) <= file.size else "more bytes"
        raise DamagedFileError(
            f"{path} is not {file.name} or is damaged: its SHA-256 is {found} ({length}), "
            f"expected {file.sha256} ({file.size} bytes); delete it and load with download=True"
        )
    return unpacked


def download(file: RemoteFile, folder: Path, *, progress: bool = True) -> bytes:
    """Download ``file`` into ``folder``, verify it, and return its content.

    The bytes go to a ``.part`` file, from which an interrupted download is continued by the next call; it gets its
    name only when complete and verified.  Raises ConnectionError if no server could give all of it, DamagedFileError
    if one gave something else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / file.saved_as
    part = target.with_name(target.name + ".part")
    failures: list[str] = []
    damaged = False
    for url in file.urls:
        resumed = part.exists()
        for _ in range(
            2 if resumed else 1
        ):  # what was resumed may have begun as another file: then once from the start
            try:
                _transfer(url, part, progress)
                verified = content(part, file)
            except DamagedFileError as error:
                part.unlink()
                damaged = True
                failures.append(f"{url}: {error}")
            except (OSError, http.client.HTTPException) as error:
                failures.append(f"{url}: {error}")
                break
            else:
                os.replace(part, target)
                return verified
    message = f"{file.name} could not be downloaded: " + "; ".join(failures)
    raise DamagedFileError(message) if damaged else ConnectionError(message)


def _transfer(url: str, part: Path, progress: bool) -> None:
    """Append to ``part`` what it lacks; ConnectionError if the server stops before the end."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"download: {url!r} is not an http or https address")
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "tinygen", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30)
    except urllib.error.HTTPError as error:
        with error:  # closes its connection
            if error.code != 416 or not have:  # 416: nothing beyond what we have
                raise ConnectionError(f"HTTP {error.code} {error.reason}") from error
            return
    with response:
        continues = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        have = have if continues else 0
        rest = response.headers.get("Content-Length")
        total = None if rest is None else have + int(rest)
        with part.open("ab" if continues else "wb") as file, _bar(part.stem, have, total, progress) as bar:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
            file.flush()
            os.fsync(file.fileno())
    if total is not None and have != total:
        raise ConnectionError(f"the connection ended after {have} of {total} bytes; call again to continue")


def _bar(title: str, done: int, total: int | None, shown: bool) -> Any:
    from tqdm import tqdm

    return tqdm(desc=title, initial=done, total=total, disable=not shown, unit="B", unit_scale=True)
