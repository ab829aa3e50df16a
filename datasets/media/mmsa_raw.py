"""The sentiment sets as videos, in the layout of MMSA: ``label.csv`` and ``Raw/{video_id}/{clip_id}.mp4``.

The columns of ``label.csv`` are video_id, clip_id, text, label, mode (train, valid, test) and others that are not
read. Sound and frames come from the same file. Layout: https://github.com/thuiar/MMSA (section "Datasets").
"""

from __future__ import annotations

import math
from os.path import isfile
from pathlib import Path

from ..dataset import SPLITS, Dataset, data_error
from ..layout.entries import nearest
from .clip import MediaSet, Piece
from .listed import Row, media_set
from .table import ClipTable, read_table

_LIST, _FOLDER = "label.csv", "Raw"
_DIGITS = 4  # of file names such as 0001.mp4, whose zeros spreadsheets lose
_SLACK = 1e-4


def read_mmsa_raw(dataset: Dataset, folder: Path) -> MediaSet:
    """Lists the clips, with the splits of ``mode`` and the sample ids of MMSA's feature files.

    An empty transcript is a problem, and the clip lacks its text.

    Args:
        dataset: with the published counts of samples.
        folder: holds ``label.csv`` and ``Raw``.

    Raises:
        DataError: no list, or a wrong row in it; no media.
    """
    table, raw = read_table(folder / _LIST), folder / _FOLDER
    if not raw.is_dir():
        raise data_error(raw, "", "is not there", f"a folder with VIDEO/CLIP.mp4 beside {_LIST}")
    columns = {name: table.column(name) for name in ("video_id", "clip_id", "text", "label", "mode")}
    rows = []
    for place, (video, clip, text, label, mode) in enumerate(zip(*columns.values(), strict=True)):
        if not video or "/" in video or video.startswith("."):
            raise table.wrong(place, "video_id", repr(video), "the name of a folder")
        if not (clip.isascii() and clip.isdecimal()):
            raise table.wrong(place, "clip_id", repr(clip), "a whole number")
        if mode not in SPLITS:
            raise table.wrong(place, "mode", f"{mode!r}{nearest(mode, SPLITS)}", ", ".join(SPLITS))
        score = _score(table, place, label, dataset.target.label_range or (-math.inf, math.inf))
        piece = Piece((_file(raw / video, clip),))
        media: dict[str, Piece | str] = {"text": text, "audio": piece, "vision": piece}
        name = f"{video}$_${clip}"
        rows.append(Row(name, table.file, mode, "", score, media, video, int(clip)))
    counts = next(iter(dataset.published.values())).counts
    listed = media_set(
        dataset,
        folder,
        rows,
        {"text": ("text", None), "audio": ("waveform", raw), "vision": ("frames", raw)},
        sorted(place for place in raw.iterdir() if place.is_dir()),
        {table.file: sum(counts.values())},
    )
    return listed


def _file(folder: Path, clip: str) -> Path:
    exact = folder / f"{clip}.mp4"
    padded = folder / f"{clip.zfill(_DIGITS)}.mp4"
    # a folder that may not be entered holds none: it is told later, as a problem
    return padded if not isfile(exact) and isfile(padded) else exact


def _score(table: ClipTable, place: int, label: str, span: tuple[float, float]) -> float:
    try:
        score = float(label)
    except ValueError:
        score = math.nan
    if not span[0] - _SLACK <= score <= span[1] + _SLACK:
        raise table.wrong(place, "label", repr(label), f"{span[0]:g} to {span[1]:g}")
    return score
