"""Human-Animal-Cartoon as videos, as SimMMDG publishes it.

::

    HAC_train_only_human.csv, HAC_test_only_human.csv, …   # name of the video, class; no header
    human/videos/NAME.mp4                       # here or in HAC_Splits, as the lists; also splits/, annotations/
    human/flow/NAME_flow_x.mp4, NAME_flow_y.mp4
    human/audio/NAME.wav

Source: section 1.1 of MMDG-Bench's notes and its loader (arXiv 2605.06643). 24 clips of people are in both
published lists; they are listed in both, as the published counts are, and each is said to be a problem.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..dataset import data_error
from .clip import MediaSet, Piece
from .listed import Row, find_lists, first_folder, media_set, with_validation

if TYPE_CHECKING:
    from ..shared.action import Action

_PLACES = ("splits", "annotations", "HAC_Splits")
_PARTS = ("train", "test")
_FOLDERS = ("videos", "flow", "audio")
# what cuts a clip out of a longer video: its number, or its first and last second
_CUT = re.compile(r"(-\d{3}|_\d{6}_\d{6})$", re.ASCII)


def read_hac(dataset: Action, folder: Path) -> MediaSet:
    """Lists the clips. A fifth of the videos of each training list validate.

    Args:
        dataset: with ``lists``: domain -> clips of its training and its test list.
        folder: holds lists and media.

    Raises:
        DataError: a list is missing or has a wrong row; there are no media.
    """
    names = {(d, part): f"HAC_{part}_only_{d}.csv" for d in dataset.lists for part in _PARTS}
    lists = find_lists(dataset.name, folder, list(names.values()), _PLACES)
    domains = [base / domain for base in (folder, lists) for domain in dataset.lists]
    base = first_folder(domains).parent
    rows: list[Row] = []
    for (domain, part), name in names.items():
        rows += _rows(lists / name, domain, part, len(dataset.target.classes), base / domain)
    groups = {place: _CUT.sub("", row.name) for place, row in enumerate(rows)}
    published = {
        lists / names[domain, part]: count
        for domain, counts in dataset.lists.items()
        for part, count in zip(_PARTS, counts, strict=True)
    }
    there = {one: first_folder(base / domain / one for domain in dataset.lists) for one in _FOLDERS}
    return media_set(
        dataset,
        folder,
        with_validation(rows, groups),
        {
            "video": ("frames", there["videos"]),
            "audio": ("waveform", there["audio"]),
            "flow": ("flow", there["flow"]),
        },
        [base / domain / one for domain in dataset.lists for one in _FOLDERS],
        published,
    )


def _rows(file: Path, domain: str, part: str, classes: int, media: Path) -> list[Row]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            cells = [row for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise data_error(file, "", f"cannot be read ({error})", "a list of videos and classes") from None
    rows = []
    for place, row in enumerate(cells, 1):
        # a space at the end of a name is part of it: one published file has it
        if len(row) != 2 or not row[0].endswith(".mp4") or "/" in row[0] or "\\" in row[0]:
            raise data_error(file, f"row {place}", ",".join(row), "NAME.mp4,CLASS")
        if not (row[1].isascii() and row[1].isdecimal() and int(row[1]) < classes):
            raise data_error(file, f"row {place}", f"class {row[1]!r}", f"0 to {classes - 1}")
        stem = row[0].removesuffix(".mp4")
        pieces = {
            "video": Piece((media / "videos" / row[0],)),
            "audio": Piece((media / "audio" / f"{stem}.wav",)),
            "flow": Piece(tuple(media / "flow" / f"{stem}_flow_{axis}.mp4" for axis in "xy")),
        }
        rows.append(Row(f"{domain}/{stem}", file, part, domain, int(row[1]), pieces))
    return rows
