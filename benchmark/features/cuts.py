"""Clips that are longer than their encoder reads: how many there are, and how much of them is not read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from ...datasets.encoders.encoder import Encoder
from ...datasets.media.clip import MediaError, MediaSet, Piece, SoundView
from ...datasets.media.decode import decode
from ...datasets.media.files import open_container, stream_end

#: Seconds beyond what an encoder reads that are none: a clip of ten seconds may last some samples longer.
_ROUNDING = 0.01


@runtime_checkable
class CutsTexts(Protocol):
    """An encoder of texts that reads a limited number of tokens."""

    longest: int

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text, before it is cut."""
        ...


def cut_summary(media_set: MediaSet, modality: str, encoder: Encoder) -> str:
    """One sentence on how many clips are longer than the encoder reads, and by how much; empty where none is.

    Lengths of sound are those that headers state: a file that states none is not counted.

    Args:
        media_set: the raw data.
        modality: one of its modalities, of the encoder's medium.
        encoder: reads ``SoundView.seconds`` of sound, or as many tokens as ``CutsTexts.longest``.
    """
    media = [clip.media[modality] for clip in media_set.clips if modality in clip.media]
    if isinstance(encoder.view, SoundView):
        if encoder.view.seconds is None:
            return ""
        longest, what, unit = encoder.view.seconds, "clips", "s"
        lengths = _sound_lengths([piece for piece in media if isinstance(piece, Piece)])
        over = [length - longest for length in lengths if length > longest + _ROUNDING]
    elif isinstance(encoder, CutsTexts):
        longest, what, unit = float(encoder.longest), "texts", "tokens"
        over = [count - longest for count in encoder.token_counts(_texts(media, encoder)) if count > longest]
    else:
        return ""
    if not over:
        return ""
    mean, most = sum(over) / len(over), max(over)
    return (
        f"{len(over)} of {len(media)} {what} are longer than {longest:.6g} {unit} and are cut there: they lose "
        f"{mean:.1f} {unit} on average, {most:.4g} {unit} at most"
    )


def _texts(media: Sequence[Piece | str], encoder: Encoder) -> list[str]:
    texts: list[str] = []
    for piece in media:
        try:
            texts.append(str(decode(piece, "text", encoder.view)))
        except MediaError:
            continue  # reported where it is encoded
    return texts


def _sound_lengths(pieces: Sequence[Piece]) -> list[float]:
    """Seconds of each stretch of sound whose length is known without decoding it."""
    files = dict.fromkeys(piece.files[0] for piece in pieces if piece.stop is None)
    ends: Mapping[Path, float | None] = {file: _end(file) for file in files}
    stops = [
        (piece.start or 0, piece.stop if piece.stop is not None else ends[piece.files[0]]) for piece in pieces
    ]
    return [stop - start for start, stop in stops if stop is not None]


def _end(file: Path) -> float | None:
    """Seconds of sound in a file; None where it has none or cannot be read."""
    try:
        with open_container(file) as container:
            return (
                stream_end(file, container, container.streams.audio[0]) if container.streams.audio else None
            )
    except (OSError, MediaError):
        return None  # reported where it is decoded
