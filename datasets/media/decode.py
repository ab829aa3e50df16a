"""Decoding: a stretch of media becomes an array, or a text."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from ..counting import counted
from .clip import FrameView, MediaError, Medium, Piece, SoundView, TextView, View
from .files import check_file, decoding
from .frames import read_flow, read_video
from .pictures import OTHER_PICTURES, PICTURES, has_picture, read_picture, resize_picture
from .sound import read_sound

#: What to decode: where it is, what it is, and how it is read.
Item = tuple[Piece | str, Medium, View]

_VIEWS = {"frames": FrameView, "flow": FrameView, "waveform": SoundView, "text": TextView}


def decode(piece: Piece | str, medium: Medium, view: View) -> np.ndarray | str:
    """A stretch of media.

    Args:
        piece: where it lies, or a text itself.
        medium: what it is.
        view: how it is read: ``FrameView`` for frames and flow, ``SoundView`` for a waveform, ``TextView`` for text.

    Returns: frames [time, 3, size, size], RGB, uint8; flow [time, 2, size, size], uint8, 128 is no motion; a
        waveform [time, channel], float32 in -1 to 1; a text, stripped.

    Raises:
        MediaError: the stretch cannot be decoded whole, exactly as asked for.
        TypeError: the view does not fit the medium.
    """
    if medium != "text" and isinstance(piece, str):
        raise TypeError(f"a text cannot be decoded as {medium}")
    if not isinstance(view, _VIEWS[medium]):
        raise TypeError(f"{medium} cannot be read with a {type(view).__name__}")
    with decoding(medium):
        if isinstance(view, TextView):
            return _text(piece, view)
        assert isinstance(piece, Piece)
        if isinstance(view, SoundView):
            return read_sound(_single_file(piece), piece.start, piece.stop, view)
        return (
            _flow(piece, view)
            if medium == "flow"
            else _frames(_single_file(piece), piece.start, piece.stop, view)
        )


def _single_file(piece: Piece) -> Path:
    if len(piece.files) != 1:
        raise MediaError(f"consists of {len(piece.files)} files; expected 1")
    return piece.files[0]


def _text(piece: Piece | str, view: TextView) -> str:
    if isinstance(piece, str):
        text = piece
    else:
        check_file(_single_file(piece))
        try:
            text = _single_file(piece).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise MediaError("is not text in UTF-8") from None
    text = text.strip()
    if not text:
        raise MediaError("the text is empty")
    return text.lower() if view.lower else text


def _frames(file: Path, start: float | None, stop: float | None, view: FrameView) -> np.ndarray:
    check_file(file)
    suffix = file.suffix.lower()
    if has_picture(file):
        return np.stack([resize_picture(read_picture(file), view)] * view.frames)
    try:
        return read_video(file, start, stop, view)
    except MediaError as error:
        if suffix in PICTURES:
            raise MediaError(f"cannot be read as a picture, nor as a video: {error}") from None
        if suffix not in OTHER_PICTURES:
            raise
        known = ", ".join(sorted(PICTURES))
        raise MediaError(f"{error}; {suffix} is not read as a picture; pictures are {known}") from None


def _flow(piece: Piece, view: FrameView) -> np.ndarray:
    if len(piece.files) != 2:
        raise MediaError(
            f"flow consists of {counted(len(piece.files), 'file')}; expected 2, horizontal and vertical"
        )
    horizontal, vertical = piece.files
    return read_flow((horizontal, vertical), piece.start, piece.stop, view)


def decode_ahead(
    items: Iterable[Item], workers: int = 2, ahead: int = 32
) -> Iterator[np.ndarray | str | MediaError]:
    """Decodes items ahead of the caller; results come in the order of the items.

    FFmpeg, libsndfile and Pillow let other threads run while they work, so threads are enough. Closing the
    iterator, or an exception where it is used (Ctrl-C, too), ends the threads after the items that they are at.

    Args:
        items: what to decode; read as far ahead as is decoded.
        workers: threads; each decodes one item at a time on one core.
        ahead: the most results that wait to be taken or are being decoded, which bounds the memory; where they are
            encoded in batches, at least two batches, or the threads idle while one is encoded.

    Yields: what ``decode`` returns; or the MediaError that it raises, in its place.
    """
    if workers < 1 or ahead < 1:
        raise ValueError(f"{workers} workers, {ahead} ahead; expected at least 1")
    source = iter(items)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    waiting: deque[Future[np.ndarray | str | MediaError]] = deque()
    try:
        waiting.extend(pool.submit(_outcome, item) for item in islice(source, ahead))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(_outcome, item) for item in islice(source, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _outcome(item: Item) -> np.ndarray | str | MediaError:
    try:
        return decode(*item)
    except MediaError as error:
        return error
