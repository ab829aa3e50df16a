"""Decoding of sound and text: what the cache is tried with until all media are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .clip import MediaError, Medium, Piece, SoundView, TextView, View


def decode(media: Piece | str, medium: Medium, view: View) -> np.ndarray | str:
    """A text, or sound [time, channel] as float32. Raises MediaError where it cannot be decoded."""
    if isinstance(media, str):
        return media.lower() if isinstance(view, TextView) and view.lower else media
    if medium != "waveform" or not isinstance(view, SoundView):
        raise MediaError(f"no reader of {medium}")
    import soundfile

    try:
        sound, rate = soundfile.read(str(media.files[0]), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise MediaError(str(error)) from None
    if rate != view.rate:
        raise MediaError(f"{rate} Hz, not {view.rate}")
    first, last = (None if time is None else round(time * rate) for time in (media.start, media.stop))
    return sound[first:last].mean(axis=1, keepdims=True)


def decoded(
    items: Iterable[tuple[Piece | str, Medium, View]], workers: int = 1
) -> Iterator[np.ndarray | str | MediaError]:
    """Each decoded, or why it cannot be, in order."""

    def one(item: tuple[Piece | str, Medium, View]) -> np.ndarray | str | MediaError:
        try:
            return decode(*item)
        except MediaError as error:
            return error

    with ThreadPoolExecutor(max(1, workers)) as pool:
        yield from pool.map(one, items)
