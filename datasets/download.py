"""Downloads files: goes on where it was interrupted, and keeps nothing whose checksum is wrong."""

from __future__ import annotations

import hashlib
import http.client
import os
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from .counting import counted
from .dataset import DataError, data_error
from .sources import RemoteFile, Source

#: Told the bytes of a file that are there, and how many there are to be; 0 where the server does not say.
Progress = Callable[[str, int, int], None]
_SECONDS = 60  # without an answer
_BLOCK = 1 << 20
_LOCAL = ("localhost", "127.0.0.1", "::1")


def download(source: Source, folder: Path, base: str = "", progress: Progress | None = None) -> list[Path]:
    """Downloads what a source has, checks it and unpacks archives. What is there and whole is not downloaded again.

    Args:
        source: what to download, with ``base`` and files.
        folder: of the dataset, made if need be.
        base: an address or mirror in place of the source's own.
        progress: told of every block.

    Returns:
        The files, and the folders into which archives were unpacked.

    Raises:
        DataError: no server answers, it has no such file, or a checksum is wrong; one line with what to do.
    """
    base = (base or source.base).rstrip("/") + "/"
    folder.mkdir(parents=True, exist_ok=True)
    sums = _sums(urljoin(base, source.sums)) if source.sums else {}
    places = []
    for file in source.files:
        wanted = file.sha256 or sums.get(file.path, "")
        if not wanted:
            raise DataError(
                f"{urljoin(base, source.sums)}: names no checksum of {file.path}; nothing was downloaded"
            )
        places.append(_get(file, wanted, folder, base, progress))
    return places


def _get(file: RemoteFile, wanted: str, folder: Path, base: str, progress: Progress | None) -> Path:
    """Downloads one file where it is not there, and unpacks it; arguments as of ``download``."""
    archive = file.place.endswith("/")
    name = Path(file.path).name
    place = folder / (name if archive else file.place)
    note = folder / f".{name}.sha256"  # of an archive that was unpacked and removed
    if archive and note.is_file() and note.read_text(encoding="ascii").strip() == wanted:
        return folder / file.place
    place.parent.mkdir(parents=True, exist_ok=True)
    if not (place.is_file() and _sha256(place) == wanted):
        _fetch(urljoin(base, quote(file.path)), place, wanted, progress)
    if not archive:
        return place
    _unpack(place, folder / file.place)
    note.write_text(f"{wanted}\n", encoding="ascii")
    place.unlink()
    return folder / file.place


def _fetch(address: str, place: Path, wanted: str, progress: Progress | None) -> None:
    """Downloads an address to a place, or what lacks of it, and checks it before it has its name."""
    part = place.with_name(f".{place.name}.part")
    for begun in (part.is_file(), False):  # a part of another version of the file is dropped, once
        try:
            _append(address, part, progress, place.name)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            raise _unreachable(address, error, part) from None
        if (found := _sha256(part)) == wanted:
            os.replace(part, place)
            return
        part.unlink()
        if not begun:
            raise data_error(
                address,
                "",
                f"has SHA-256 {found}",
                f"{wanted}: what was downloaded is not what was published, and is gone",
            )


def _append(address: str, part: Path, progress: Progress | None, name: str) -> None:
    """Appends to a part what lacks of it; where the server sends the whole, the part begins anew."""
    have = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "mmbench", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        answer = _open(address, headers)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing lacks
            return
        raise
    with answer, part.open("ab" if answer.status == 206 else "wb") as stream:
        have = have if answer.status == 206 else 0
        rest = int(answer.headers.get("Content-Length") or 0)
        total = have + rest if rest else 0
        while block := answer.read(_BLOCK):
            stream.write(block)
            have += len(block)
            if progress:
                progress(name, have, total)
        if total and have < total:
            raise http.client.IncompleteRead(b"", total - have)


def _open(address: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """The answer to a request. Raises DataError where the address is neither https nor on this machine."""
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOCAL):
        raise DataError(f"{address}: data are downloaded by https alone, or from this machine")
    return urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=_SECONDS)


def _unreachable(address: str, error: Exception, part: Path) -> DataError:
    """Why a download ended, and what to do."""
    if isinstance(error, urllib.error.HTTPError):
        why = f"the server answered {error.code} {error.reason}"
    else:
        why = f"{getattr(error, 'reason', '') or error or type(error).__name__}"
    there = part.stat().st_size if part.is_file() else 0
    again = (
        f"; {counted(there, 'byte')} {'is' if there == 1 else 'are'} kept: the same command goes on from there"
        if there
        else ""
    )
    return DataError(f"{address}: cannot be downloaded ({why}){again}")


def _sums(address: str) -> dict[str, str]:
    """Path -> SHA-256, of a list as ``sha256sum`` writes it."""
    try:
        with _open(address, {"User-Agent": "mmbench"}) as answer:
            text = answer.read().decode("utf-8", "replace")
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _unreachable(address, error, Path("nothing")) from None
    pairs = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return {
        pair[1].lstrip("*").removeprefix("./").strip(): pair[0].lower() for pair in pairs if len(pair) == 2
    }


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _unpack(archive: Path, folder: Path) -> None:
    """Unpacks an archive; what would lead out of the folder, and links and devices, are refused."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise data_error(archive, "", f"cannot be unpacked ({error})", "an archive of tar") from None
