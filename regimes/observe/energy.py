"""Arousal of sound: how loud and how high it is. A proxy: loudness and the height of the fundamental are the two correlates of
arousal in speech that are found again and again (Scherer 2003, Speech Communication 40, 227)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..segmenter import SegmenterError

#: Seconds of a frame and between frames; the range of the fundamental, in Hz; the correlation above which a frame is voiced.
FRAME, HOP = 0.04, 0.02
LOWEST, HIGHEST = 60.0, 400.0
VOICED = 0.5
#: The height of a peak of the autocorrelation, over the highest, from which it is taken for that of one period.
NEARLY = 0.85


def energy(arrays: Mapping[str, np.ndarray], rate: float | None) -> np.ndarray:
    """[samples, 2]: arousal, the mean of log energy and log fundamental, each standardised over all samples; valence is NaN.

    Args:
        arrays: ``waveform``, [samples, time]; ``length``, [samples], how much of it is sound, where not all is.
        rate: in Hz.

    Raises:
        SegmenterError: a length is none of its waveform, or a value of the sound is not finite.
    """
    assert rate is not None  # dataset.yaml cannot leave it out
    wave = np.atleast_2d(arrays["waveform"])
    lengths = _lengths(arrays["length"], wave.shape[1]) if "length" in arrays else [wave.shape[1]] * len(wave)
    for place, (one, length) in enumerate(zip(wave, lengths, strict=True)):
        if not np.isfinite(one[:length]).all():
            raise SegmenterError(f"the sound of sample {place} has values that are not finite")
    measured = np.array([loudness_and_height(one[:n], rate) for one, n in zip(wave, lengths, strict=True)])
    found = np.full((len(wave), 2), np.nan)
    columns = [_standard(column) for column in measured.T]
    seen = np.isfinite(columns)
    count = seen.sum(axis=0)
    found[:, 1] = np.where(count > 0, np.where(seen, columns, 0).sum(axis=0) / np.maximum(count, 1), np.nan)
    return found


def _lengths(lengths: np.ndarray, most: int) -> list[int]:
    """Numbers of values of sound. Raises SegmenterError where one is no whole number from 0 to ``most``."""
    wrong = ~((lengths >= 0) & (lengths <= most) & (lengths == np.floor(lengths)))
    if wrong.any():
        place = int(wrong.argmax())
        raise SegmenterError(
            f"the length of sample {place} is {lengths[place]:g}: whole numbers from 0 to {most} are expected, as a waveform has "
            f"{most} values"
        )
    return [int(length) for length in lengths]


def loudness_and_height(wave: np.ndarray, rate: float) -> tuple[float, float]:
    """Log energy, in dB, and log2 of the median fundamental, in Hz; NaN of silence and of a sound without voiced frames.

    The fundamental of a frame is at the first peak of its normalised autocorrelation (Boersma 1993) that is nearly as high as the
    highest, which may be that of several periods.

    Args:
        wave: [time].
        rate: in Hz.
    """
    size, hop = round(FRAME * rate), round(HOP * rate)
    power = float((wave**2).mean()) if len(wave) else 0.0
    if power == 0:
        return np.nan, np.nan
    loud = 10 * np.log10(power)
    if len(wave) < size:
        return loud, np.nan
    frames = np.lib.stride_tricks.sliding_window_view(wave, size)[::hop]
    window = np.hanning(size)
    frames = (frames - frames.mean(axis=1, keepdims=True)) * window

    def correlation(array: np.ndarray) -> np.ndarray:
        return np.fft.irfft(np.abs(np.fft.rfft(array, 2 * size)) ** 2)[..., :size]

    own = correlation(frames)
    shape = correlation(window)
    normal = own / np.maximum(own[:, :1], 1e-20) / np.maximum(shape / shape[0], 1e-3)
    first, last = max(1, int(rate / HIGHEST)), min(size - 1, int(rate / LOWEST))
    if last <= first:
        return loud, np.nan
    lag = _first_peak(normal[:, first - 1 : last + 2]) + first
    voiced = normal[np.arange(len(lag)), lag] > VOICED
    voiced &= (frames**2).mean(axis=1) > 0.01 * (frames**2).mean()
    return loud, float(np.log2(np.median(rate / lag[voiced]))) if voiced.any() else np.nan


def _first_peak(correlation: np.ndarray) -> np.ndarray:
    """[frames]: the place of the first peak that is at least ``NEARLY`` of the highest, without counting the first column, which
    like the last is there to see peaks by."""
    inside = correlation[:, 1:-1]
    peak = (inside >= correlation[:, :-2]) & (inside >= correlation[:, 2:])
    high = np.where(peak, inside, -np.inf)
    best = high.max(axis=1, keepdims=True)
    return (peak & (inside >= NEARLY * best)).argmax(axis=1)


def _standard(column: np.ndarray) -> np.ndarray:
    seen = column[np.isfinite(column)]
    spread = seen.std() if len(seen) else 0.0
    return (column - (seen.mean() if len(seen) else 0.0)) / (spread or 1.0)
