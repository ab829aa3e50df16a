"""Recordings of another rate than the others of their set: resampling them is no fault, but worth a look."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ..libraries import import_guard
from .clip import MediaError, MediaSet, Piece, Problem
from .files import decoding
from .sound import SNDFILE


def odd_rates(media_set: MediaSet, modality: str, rate: int) -> list[Problem]:
    """Clips whose recording has not the rate that most have, told from the headers of files like WAV.

    Args:
        media_set: the raw data.
        modality: a waveform.
        rate: samples a second that all are resampled to.
    """
    pieces = {clip.sample_id: clip.media.get(modality) for clip in media_set.clips}
    files = {name: piece.files[0] for name, piece in pieces.items() if isinstance(piece, Piece)}
    rates = {file: _rate(file) for file in set(files.values()) if file.suffix.lower() in SNDFILE}
    count = Counter(own_rate for own_rate in rates.values() if own_rate)
    if len(count) < 2:
        return []
    usual = max(count, key=lambda own_rate: (count[own_rate], own_rate))
    return [
        Problem(
            name, modality, str(file), f"{own_rate} samples a second, most have {usual}: resampled to {rate}"
        )
        for name, file in files.items()
        if (own_rate := rates.get(file)) and own_rate != usual
    ]


def _rate(file: Path) -> int | None:
    with import_guard("soundfile", "reading sound files"):
        import soundfile

    try:
        with decoding("waveform"):
            return soundfile.info(str(file)).samplerate
    except MediaError:
        return None  # told where it is decoded
