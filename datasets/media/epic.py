"""EPIC-Kitchens as videos: the lists of MM-SADA and the clips that MMDG-Bench cuts by them.

::

    D1_train.pkl, D1_test.pkl, D2_…   # pandas tables; here or in splits/, annotations/ or the folder of MM-SADA
    video/train/D1/D1_P08_01_245_350_2.mp4      # kitchen, recording, first and last frame, class
    flow/train/D1/D1_P08_01_123_175_2_u.mp4     # and _v.mp4: flow has half as many frames
    audio/train/D1/P08_01.wav                   # the whole recording; the clip is cut by its times

The folders of media lie beside the lists or in ``EPIC-mp4``; ``rgb`` is read where there is no ``video``, or no
``audio``. Source: section 1.1 of MMDG-Bench's notes and its loader (arXiv 2605.06643).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..dataset import data_error
from ..pickles.unpickle_frame import load_frame
from .clip import MediaSet, Piece
from .files import seconds_text
from .listed import Row, find_lists, first_folder, media_set, with_validation
from .table import seconds

if TYPE_CHECKING:
    from ..shared.action import Action

_PLACES = ("splits", "annotations", "MM-SADA_Domain_Adaptation_Splits")
_COLUMNS = ("video_id", "start_frame", "stop_frame", "start_timestamp", "stop_timestamp", "verb_class")
_PARTS = ("train", "test")


def read_epic(dataset: Action, folder: Path) -> MediaSet:
    """Lists the clips. A fifth of the recordings of each training list validate.

    Args:
        dataset: with ``lists``: kitchen -> clips of its training and its test list.
        folder: holds lists and media.

    Raises:
        DataError: a list is missing, no table, or has a wrong row; there are no media.
    """
    kitchens = {domain: domain.upper() for domain in dataset.lists}
    names = {(d, part): f"{kitchens[d]}_{part}.pkl" for d in kitchens for part in _PARTS}
    lists = find_lists(dataset.name, folder, list(names.values()), _PLACES)
    bases = [folder, folder / "EPIC-mp4", lists, lists / "EPIC-mp4"]
    video = first_folder(base / name for name in ("video", "rgb") for base in bases)
    flow = first_folder(base / "flow" for base in bases)
    audio = first_folder(base / name for name in ("audio", "rgb") for base in bases)
    rows: list[Row] = []
    for (domain, part), name in names.items():
        rows += _rows(
            lists / name, domain, kitchens[domain], part, len(dataset.target.classes), video, flow, audio
        )
    published = {
        lists / names[domain, part]: count
        for domain, counts in dataset.lists.items()
        for part, count in zip(_PARTS, counts, strict=True)
    }
    return media_set(
        dataset,
        folder,
        with_validation(rows, {place: row.video for place, row in enumerate(rows)}),
        {"video": ("frames", video), "audio": ("waveform", audio), "flow": ("flow", flow)},
        [
            place / part / one
            for place in (video, flow, audio)
            for part in _PARTS
            for one in kitchens.values()
        ],
        published,
    )


def _rows(
    file: Path, domain: str, kitchen: str, part: str, classes: int, video: Path, flow: Path, audio: Path
) -> list[Row]:
    table = load_frame(file)
    for column in _COLUMNS:
        if column not in table:
            raise data_error(file, column, "missing", f"a column (found: {', '.join(table)})")
    rows = []
    numbers = _numbers(table)
    for place in range(len(table["video_id"])):
        recording, first, last, label = _check_row(file, table, place, classes)
        times = [_time(file, table, column, place) for column in ("start_timestamp", "stop_timestamp")]
        if times[1] <= times[0]:
            raise data_error(
                file,
                f"row {place}, stop_timestamp",
                f"{seconds_text(times[1])} s",
                f"after {seconds_text(times[0])} s",
            )
        name = f"{kitchen}_{recording}_{first}_{last}_{label}"
        # flow has half the frames: ceil(start / 2), and int((stop - start) / 2) of them
        half = math.ceil(first / 2)
        slow = f"{kitchen}_{recording}_{half}_{half + (last - first) // 2}_{label}"
        media = {
            "video": Piece((video / part / kitchen / f"{name}.mp4",)),
            "audio": Piece((audio / part / kitchen / f"{recording}.wav",), times[0], times[1]),
            "flow": Piece(tuple(flow / part / kitchen / f"{slow}_{axis}.mp4" for axis in "uv")),
        }
        rows.append(Row(name, file, part, domain, label, media, recording, numbers[place]))
    return rows


def _check_row(
    file: Path, table: Mapping[str, np.ndarray], place: int, classes: int
) -> tuple[str, int, int, int]:
    recording = table["video_id"][place]
    if not isinstance(recording, str) or not recording.replace("_", "").isalnum():
        raise data_error(file, f"row {place}, video_id", repr(recording), "letters, digits and _")
    whole = []
    for column in ("start_frame", "stop_frame", "verb_class"):
        value = table[column][place]
        if not isinstance(value, (int, np.integer)) or value < 0:
            raise data_error(file, f"row {place}, {column}", repr(value), "a whole number from 0")
        whole.append(int(value))
    first, last, label = whole
    if last <= first:
        raise data_error(file, f"row {place}, stop_frame", str(last), f"more than start_frame, {first}")
    if label >= classes:
        raise data_error(file, f"row {place}, verb_class", str(label), f"0 to {classes - 1}")
    return recording, first, last, label


def _time(file: Path, table: Mapping[str, np.ndarray], column: str, place: int) -> float:
    value = table[column][place]
    time = seconds(value) if isinstance(value, str) else None
    if time is None:
        raise data_error(file, f"row {place}, {column}", repr(value), "hours:minutes:seconds")
    return time


def _numbers(table: Mapping[str, np.ndarray]) -> list[int]:
    """Where each clip stands in its recording, from 0."""
    order = sorted(range(len(table["video_id"])), key=lambda place: (table["start_frame"][place], place))
    counted: dict[object, int] = {}
    numbers = [0] * len(order)
    for place in order:
        recording = table["video_id"][place]
        numbers[place] = counted.get(recording, 0)
        counted[recording] = numbers[place] + 1
    return numbers
