"""The lengths that media files state: which headers state one, which leave it open, and which are wrong because of a cut."""

from __future__ import annotations

from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

_OGG_PAGE = 65_307  # the longest that a page of an Ogg file can be, in bytes (RFC 3533)
_OGG_FIRST, _OGG_LAST = 2, 4  # the flags of the first and of the last page
_FLAC_HEAD = b"fLaC\0\0\0\x22"
_TAG = 1024  # bytes of a short tag behind the frames of an MP3 file (ID3v1: 128)
#: A size from here on that a file does not have was written before it was known: SoX writes 0x7FFFF000 (0x7F000008
#: into AIFF), others 0x7FFFFFFF, 0x80000000 or 0xFFFFFFFF into a pipe.
_PLACEHOLDER = 0x7F000000
#: Containers of FFmpeg whose header or index states the length of each stream; of all others FFmpeg estimates it, from
#: the bit rate of the first frames or from the last time stamps that it comes across.
_STATING = {"mov", "asf", "avi", "ogg", "aiff", "caf", "w64", "wv", "tta", "ape"}


def container_states_length(file: Path, names: str) -> bool:
    """Whether the lengths that FFmpeg tells of the streams of a file are stated there, not estimated by FFmpeg.

    Args:
        file: which exists.
        names: what FFmpeg calls its container, such as ``mov,mp4,m4a,3gp,3g2,mj2``.
    """
    kinds = set(names.split(","))
    return bool(kinds & _STATING) or ("mp3" in kinds and _has_frame_count(file))


def content_start(stream: BinaryIO) -> int:
    """The place after the ID3v2 tags that a file begins with; 0 without one."""
    place = 0
    while True:
        stream.seek(place)
        head = stream.read(10)
        if len(head) < 10 or head[:3] != b"ID3":
            return place
        place += 10 + sum((byte & 127) << 7 * (3 - number) for number, byte in enumerate(head[6:10]))


def _has_frame_count(file: Path) -> bool:
    """Whether an MP3 file begins with a Xing, Info (LAME) or VBRI header that counts its frames, all of them."""
    with file.open("rb") as stream:
        begin = content_start(stream)
        stream.seek(begin)
        frame = stream.read(1024)
        left = stream.seek(0, 2) - begin
    for name in (b"Xing", b"Info"):
        place = frame.find(name, 0, 256)
        if place >= 0:
            flags = frame[place + 7] if len(frame) > place + 7 else 0
            if flags & 3 == 3 and left > int.from_bytes(frame[place + 12 : place + 16], "big") + _TAG:
                return False  # another file was joined to it, or a long tag follows
            return bool(flags & 1)
    place = frame.find(b"VBRI", 0, 256)
    return place >= 0 and left <= int.from_bytes(frame[place + 10 : place + 14], "big") + _TAG


def holds_another(file: Path) -> bool:
    """Whether a second file follows behind the first one of Ogg, FLAC or WAV: readers end with the first."""
    with file.open("rb") as stream:
        begin = content_start(stream)
        stream.seek(begin)
        head = stream.read(4)
        stream.seek(0)
        size = stream.seek(0, 2)
        if head not in (b"OggS", b"fLaC", b"RIFF") or size <= begin + 4:
            return False
        with mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
            if head == b"RIFF":
                second = begin + 8 + int.from_bytes(content[begin + 4 : begin + 8], "little")
                return (
                    content[second : second + 4] == b"RIFF" and content[second + 8 : second + 12] == b"WAVE"
                )
            if head == b"fLaC":  # with its first block, of 34 bytes
                return content.find(_FLAC_HEAD, begin + 4) >= 0
            return _is_chained(content, begin)


def _is_chained(content: mmap, place: int) -> bool:
    """Whether a stream of an Ogg file begins behind pages of another that has begun. Streams side by side begin together."""
    while content[place : place + 4] == b"OggS" and content[place + 5] & _OGG_FIRST:
        place = content.find(b"OggS", place + 4)
    while place >= 0:
        if content[place + 4 : place + 5] == b"\0" and content[place + 5] & _OGG_FIRST:
            return True
        place = content.find(b"OggS", place + 4)
    return False


def is_cut(file: Path) -> bool:
    """Whether a file holds less than its header says (WAV, AIFF, AU), or lacks its last page or a part of it (Ogg)."""
    with file.open("rb") as stream:
        head = stream.read(4)
        if head == b"OggS":
            return _lacks_last_page(stream)
        stated, there = _data_size(stream)
    placeholder = stated is not None and _PLACEHOLDER <= stated <= 0xFFFFFFFF
    return stated is not None and there < stated and not placeholder


def leaves_length_open(file: Path) -> bool:
    """Whether a WAV file states no size of its samples though some follow: its writer could not go back."""
    with file.open("rb") as stream:
        stated, there = _data_size(stream)
        stream.seek(0)
        head = stream.read(8)
    whole = int.from_bytes(head[4:8], "little") == file.stat().st_size - 8
    return head[:4] == b"RIFF" and stated == 0 and there > 0 and not whole


def _lacks_last_page(stream: BinaryIO) -> bool:
    size = stream.seek(0, 2)
    stream.seek(max(0, size - _OGG_PAGE))
    tail = stream.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return True
    parts = page[27 : 27 + page[26]]  # their lengths
    return len(page) < 27 + page[26] + sum(parts) or not page[5] & _OGG_LAST


def _data_size(stream: BinaryIO) -> tuple[int | None, int]:
    """Bytes of samples.

    Args:
        stream: a file.

    Returns:
        What the header of a WAV, AIFF or AU file states (None: nothing, or the file is none of these), and how many
        bytes follow where they begin.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(12)
    if head[:4] == b".snd" and len(head) == 12:
        offset, stated = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
        return stated, max(size - offset, 0)
    if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
        return _chunk(stream, size, b"data", "little")
    if head[:4] == b"RIFX" and head[8:] == b"WAVE":
        return _chunk(stream, size, b"data", "big")
    if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        return _chunk(stream, size, b"SSND", "big")
    return None, 0


def _chunk(stream: BinaryIO, size: int, wanted: bytes, order: str) -> tuple[int | None, int]:
    """As ``_data_size``, of the chunk ``wanted`` of a RIFF or an IFF file, whose numbers are ``little`` or ``big``."""
    place, long_size = 12, None
    while place + 8 <= size:
        stream.seek(place)
        head = stream.read(24)
        length = int.from_bytes(head[4:8], "little" if order == "little" else "big")
        if head[:4] == b"ds64":  # RF64: sizes beyond 32 bits; the second is that of the samples
            long_size = int.from_bytes(head[16:24], "little")
        if head[:4] == wanted:
            there = size - place - 8
            if length == 0xFFFFFFFF and long_size:  # 0 or a placeholder where it could not be filled in
                return (long_size if long_size < 1 << 62 else None), there
            return length, there
        place += 8 + length + length % 2
    return None, 0
