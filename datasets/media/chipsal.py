"""The memes of CHiPSAL as they are released: a list with the columns index, text and label, and a folder of images.

::

    train.csv               # or any other name: the one list with these three columns
    images/0001.png         # the index, with the suffix of a picture or as the index has it

Labels are numbers from 0: hate is 1; negative, neutral and positive are 0, 1 and 2. The text is what stands on the image, as
others read it, and may be empty: the meme then has an image alone. Form of the list: the notes of participants; the names of
files are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..class_labels import class_indices
from ..counting import counted
from ..dataset import DataError, Dataset, data_error
from ..fingerprint import file_sha256
from .clip import Clip, MediaSet, Piece, Problem
from .listed import Row, first_folder, media_set
from .pictures import OTHER_PICTURES, PICTURES
from .table import ClipTable, read_table

#: Names in the stand-in, and where images are looked for.
LIST, IMAGES = "train.csv", "images"
_FOLDERS = (IMAGES, "Images", "image", "img", "train")
_COLUMNS = ("index", "text", "label")


def read_chipsal(dataset: Dataset, folder: Path) -> MediaSet:
    """Lists the memes. They have no parts: all are in ``train``, to be divided by folds.

    A meme without its image is a problem. Where two memes have the same picture, byte for byte, the second is a remark, and
    they form a group, so that no fold trains on a picture that it tests.

    Args:
        dataset: whose classes the labels are.
        folder: holds the list and the images.

    Raises:
        DataError: no list, or several; a wrong row; labels of one class alone; no folder of images.
    """
    table = _labelled(folder)
    images = first_folder(folder / name for name in _FOLDERS)
    if not images.is_dir():
        raise data_error(images, "", "is not there", f"a folder of images beside {table.file.name}")
    stored = _by_index(images)
    labels = _labels(table, dataset.target.classes)
    rows = []
    for place, (index, text) in enumerate(zip(table.column("index"), table.column("text"), strict=True)):
        if not index or not index.isprintable() or "/" in index or "\\" in index or index.startswith("."):
            raise table.wrong(place, "index", repr(index) if index else "empty", "the name of an image")
        media: dict[str, Piece | str] = {"image": Piece((stored.get(index, images / f"{index}.png"),))}
        if text:
            media["text"] = text
        rows.append(Row(index, table.file, "train", "", labels[place], media))
    listed = media_set(
        dataset, folder, rows, {"image": ("frames", images), "text": ("text", None)}, [images], {}
    )
    return _with_groups(listed, table.file)


def _labelled(folder: Path) -> ClipTable:
    """The list with all three columns."""
    tables = [
        read_table(file) for file in sorted((*folder.glob("*.csv"), *folder.glob("*.tsv"))) if file.is_file()
    ]
    full = [table for table in tables if all(name in table.columns for name in _COLUMNS)]
    if len(full) == 1:
        return full[0]
    found = ", ".join(table.file.name for table in (full or tables)) or "none"
    expected = f"one list (.csv) with the columns {', '.join(_COLUMNS)}"
    raise DataError(
        f"{folder}: {counted(len(full), 'list')} with labels (found: {found}); expected {expected}"
    )


def _by_index(images: Path) -> dict[str, Path]:
    """Index -> its picture, by whole names and by names without the suffix of a picture."""
    found: dict[str, Path] = {}
    try:
        files = sorted(images.iterdir())
    except OSError as error:
        raise data_error(images, "", f"cannot be listed ({error.strerror})", "a folder of images") from None
    for file in files:
        found[file.name] = file
        if file.suffix.lower() in PICTURES | OTHER_PICTURES:
            found.setdefault(file.stem, file)
    return found


def _labels(table: ClipTable, classes: Sequence[str]) -> list[int]:
    cells = table.column("label")
    try:
        indices = class_indices(cells, classes)
    except ValueError as error:
        raise data_error(table.file, "column label", str(error), "all names, or all indices") from None
    expected = " or ".join(f"{place} ({name})" for place, name in enumerate(classes))
    labels = []
    for place, (cell, index) in enumerate(zip(cells, indices, strict=True)):
        if index is None:
            raise table.wrong(place, "label", repr(cell) if cell else "no label", expected)
        labels.append(index)
    if len(set(labels)) < 2:
        raise data_error(table.file, "column label", f"all are {cells[0]!r}", "memes of two classes or more")
    return labels


def _with_groups(listed: MediaSet, file: Path) -> MediaSet:
    """Memes with the same picture in one group, and each but the first of them as a remark."""
    first: dict[str, Clip] = {}
    clips, problems = [], []
    for clip in listed.clips:
        image = clip.media.get("image")
        if not isinstance(image, Piece):
            clips.append(replace(clip, group=clip.sample_id))
            continue
        try:
            digest = file_sha256(image.files[0])
        except OSError:  # said when it is decoded
            digest = clip.sample_id
        before = first.setdefault(digest, clip)
        clips.append(replace(clip, group=before.sample_id))
        if before is not clip:
            unlike = "" if before.label == clip.label else ", under another label"
            reason = f"the same picture as {before.sample_id}{unlike} (sha256 {digest[:12]})"
            problems.append(Problem(clip.sample_id, "image", file.name, reason, published=True, remark=True))
    if not problems:
        return listed
    return replace(listed, clips=tuple(clips), problems=(*listed.problems, *problems))
