"""Sets of clips that are published as lists: rows become clips, and whatever does not fit becomes a problem."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..counting import counted
from ..dataset import SPLITS, SYNTHETIC_FILE, VALIDATION_SEED, VALIDATION_SHARE, DataError, Dataset
from ..divide import divide
from .clip import Clip, MediaSet, Medium, Piece, Problem
from .shelf import Shelf, relative_path


@dataclass(frozen=True)
class Row:
    """A clip as a list names it.

    Attributes:
        name: its sample id, unless an earlier row has it.
        file: the list.
        split: ``train``, ``valid`` or ``test``.
        domain: empty where the set has none.
        label: as in :class:`mmbench.datasets.media.clip.Clip`.
        media: modality -> a stretch of a file, or a text itself; the files need not be there.
        video, number: of which recording it is which clip; empty where that is not known.
    """

    name: str
    file: Path
    split: str
    domain: str
    label: float | int
    media: Mapping[str, Piece | str]
    video: str = ""
    number: int = 0


def find_lists(name: str, folder: Path, files: Sequence[str], below: Sequence[str]) -> Path:
    """The folder that holds the published lists: ``folder`` itself or one ``below`` it.

    Args:
        name: of the dataset, for messages.
        folder: where to look first.
        files: the names of the lists.
        below: folders in ``folder`` where they may lie.

    Raises:
        DataError: no folder holds them all; the message names the first that is missing.
    """
    places = [folder, *(folder / part for part in below)]
    place = max(places, key=lambda one: sum((one / file).is_file() for file in files))
    missing = [file for file in files if not (place / file).is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        where = f"{folder} or its folders {', '.join(below)}"
        raise DataError(f"{name}: no list {missing[0]}{more} in {place}; expected all in one of {where}")
    return place


def first_folder(places: Iterable[Path]) -> Path:
    """The first place that is a folder, or else the first."""
    places = list(places)
    return next((place for place in places if place.is_dir()), places[0])


def with_validation(rows: Sequence[Row], groups: Mapping[int, str]) -> list[Row]:
    """Takes a share of every domain's training list for validation, which nobody publishes.

    The share and the seed are those of :mod:`mmbench.datasets.samples`, drawn by
    :func:`mmbench.datasets.divide.divide`. Training and validation together stay the published list.

    Args:
        rows: of the published training and test lists.
        groups: row -> what stays together, such as the recording; where a domain has one alone, clips are drawn.
    """
    shares = {"train": 1 - VALIDATION_SHARE, "valid": VALIDATION_SHARE}
    result = list(rows)
    for domain in dict.fromkeys(row.domain for row in rows):
        places = [place for place, row in enumerate(rows) if row.domain == domain and row.split == "train"]
        names = [groups[place] for place in places]
        if len(set(names)) < len(shares):
            names = [rows[place].name for place in places]
        if len(set(names)) < len(shares):
            continue
        splits = divide(names, shares, f"{VALIDATION_SEED} {domain}")
        for place, split in zip(places, splits, strict=True):
            result[place] = replace(rows[place], split=split)
    return result


def media_set(
    dataset: Dataset,
    folder: Path,
    rows: Sequence[Row],
    modalities: Mapping[str, tuple[Medium, Path | None]],
    folders: Iterable[Path],
    counts: Mapping[Path, int],
) -> MediaSet:
    """The clips of published lists, with what is wrong with them.

    Args:
        dataset: whose they are.
        folder: what the paths in problems are relative to.
        rows: of all lists, in order.
        modalities: name -> its medium and the folder of all its files (None: it has none). Where that folder is
            missing, the set has no such modality, which is one problem and not one for each clip.
        folders: where files without a row are looked for.
        counts: list -> the number of clips that its publishers state; a stand-in need not have so many.

    Raises:
        DataError: no modality is there.
    """
    problems: list[Problem] = []
    there: dict[str, Medium] = {}
    for name, (medium, place) in modalities.items():
        if place is None or place.is_dir():
            there[name] = medium
        else:
            problems.append(
                Problem("", name, relative_path(place, folder), f"no such folder: there is no {name}")
            )
    if not any(medium != "text" for medium in there.values()):
        places = ", ".join(str(place) for _, place in modalities.values() if place)
        raise DataError(f"{dataset.name}: no media in {folder}; expected folders {places}")
    synthetic = (folder / SYNTHETIC_FILE).is_file()
    for file, count in ({} if synthetic else counts).items():
        number = sum(row.file == file for row in rows)
        if number != count:
            reason = (
                f"lists {counted(number, 'clip')} where {count} {'is' if count == 1 else 'are'} published"
            )
            problems.append(Problem("", "", relative_path(file, folder), reason, published=True))
    shelf = Shelf(folder)
    clips = []
    seen: dict[str, dict[str, Row]] = {}
    for row in rows:
        copies = seen.setdefault(row.name, {})
        sample_id = f"{row.name}#{len(copies) + 1}" if copies else row.name
        copies[sample_id] = row
        if len(copies) > 1:
            reason = f"listed before, in {copies[row.name].file.name}"
            leaks = _leaks({name: one.split for name, one in copies.items()})
            problems.append(
                Problem(sample_id, "", row.file.name, reason, published=True, remark=not leaks, leaks=leaks)
            )
        media: dict[str, Piece | str] = {}
        for name, piece in row.media.items():
            if name not in there:
                continue
            if isinstance(piece, str):
                missing = (
                    [] if piece else [Problem(sample_id, name, row.file.name, "empty text", published=True)]
                )
            else:
                files, missing = shelf.media(sample_id, name, piece.files)
                piece = replace(piece, files=files)
            problems += missing
            if not missing:
                media[name] = piece
        clips.append(
            Clip(sample_id, row.split, row.domain, row.label, media, video=row.video, number=row.number)
        )
    return MediaSet(
        name=dataset.name,
        modalities=there,
        target=dataset.target,
        clips=tuple(clips),
        problems=(*problems, *shelf.unused_files(folders)),
        title=dataset.title,
        homepage=dataset.homepage,
        synthetic=synthetic,
    )


def _leaks(splits: Mapping[str, str]) -> tuple[str, ...]:
    """The copies of a clip in other splits than the last one, in the order training, validation, test.

    Args:
        splits: sample id of a copy -> its split.
    """
    last = max(splits.values(), key=SPLITS.index)
    return tuple(name for name, split in splits.items() if split != last)
