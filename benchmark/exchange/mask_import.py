"""Reads the masks of somebody else: which modalities every sample has, as a table."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ...datasets.dataset import DataError, Located, Samples, data_error
from ...datasets.layout.arrays import array_names, read_array
from ..core.errors import nearest
from ..store.masks import MaskRows, StoredMasks
from .tensor_files import read_tensors

#: The column that names what is missing, in the place of a column for each modality.
MISSING = "missing"
_NONE = {"", "none", "nan"}
_KINDS = "csv, parquet, npz, safetensors, pt or pth"


def import_masks(file: Path, name: str, located: Located, absent: bool = False) -> StoredMasks:
    """Reads a table of missing modalities, and checks it against a dataset.

    Its columns: ``sample_id``; one for each modality that may be missing, of truth values or 0 and 1; or ``missing``, the
    names of what is missing, joined by ``+``, empty where nothing is. With ``condition`` it holds several masks; of
    ``split`` only the rows ``test`` count; others are passed over.

    Args:
        file: csv, parquet, npz, safetensors, pt or pth; of the last four the columns are arrays [rows], or lists of text.
        name: what it is to be called.
        located: the dataset whose samples it is about.
        absent: whether true and 1 mean that a modality is missing, and not that it is there.

    Raises:
        DataError: the file is broken or has no such columns; it names other samples than the dataset, lacks some of its
            test samples or names one twice; a sample is left without any modality; or a column is called nearly as a modality that
            has none.
    """
    frame = _frame(file)
    if "sample_id" not in frame:
        raise data_error(
            file, "sample_id", "no such column", f"one beside {', '.join(map(str, frame.columns))}"
        )
    if "split" in frame:
        frame = frame.loc[frame["split"].astype(str) == "test"]
    modalities = tuple(one for one in located.modalities if one in frame)
    if not modalities and MISSING not in frame:
        expected = f"a column for each modality ({', '.join(located.modalities)}), or one called {MISSING}"
        raise data_error(file, "", f"has the columns {', '.join(map(str, frame.columns))}", expected)
    if not modalities:
        modalities, there = located.modalities, _by_names(frame[MISSING].tolist(), located.modalities, file)
    else:
        _check_names(frame, located.modalities, file)
        there = np.stack([_flags(frame[one].tolist(), one, file) ^ absent for one in modalities], axis=1)
    ids = np.array([str(one) for one in frame["sample_id"].tolist()])
    condition = np.array(
        [str(one) for one in frame["condition"].tolist()] if "condition" in frame else [""] * len(ids)
    )
    samples = located.load()
    conditions: dict[str, MaskRows] = {}
    for one in dict.fromkeys(condition.tolist()):
        rows = MaskRows(ids[condition == one], there[condition == one])
        _check(
            rows,
            samples,
            modalities == tuple(located.modalities),
            f"{file}: {one}" if one else str(file),
            located.name,
        )
        conditions[re.sub(r"[^\w.:+=-]", "-", one.replace("@", "="))] = rows
    if not conditions:
        raise data_error(file, "", "no rows of test samples", "one for each")
    return StoredMasks(name, located.name, modalities, conditions)


def _check_names(frame: pd.DataFrame, modalities: Sequence[str], file: Path) -> None:
    """Raises DataError where a column seems to be meant for a modality that has none, and would be passed over: what no column
    tells of is there."""
    without = {one.lower(): one for one in modalities if one not in frame}
    for column in frame.columns:
        if column not in modalities and (
            close := difflib.get_close_matches(str(column).strip().lower(), without, n=1, cutoff=0.75)
        ):
            raise data_error(file, str(column), "a column of no modality", repr(without[close[0]]))


def _frame(file: Path) -> pd.DataFrame:
    """The columns of a file."""
    if not file.is_file():
        raise data_error(file, "", "is not there", f"a {_KINDS} file")
    suffix = file.suffix.lower()
    if suffix == ".csv":
        try:
            return pd.read_csv(file, dtype={"sample_id": str, MISSING: str}, keep_default_na=False)
        except (ValueError, OSError) as error:
            raise data_error(file, "", f"cannot be read ({error})", "a CSV table") from None
    if suffix in (".pt", ".pth"):
        columns = read_tensors(file)
    elif suffix in (".parquet", ".npz", ".safetensors"):
        columns = {name: read_array(file, name)[0] for name in array_names(file)}
    else:
        raise data_error(file, "", f"has an unknown suffix {suffix!r}", _KINDS)
    lengths = {name: values.shape for name, values in columns.items()}
    if any(len(shape) != 1 for shape in lengths.values()) or len(set(lengths.values())) > 1:
        raise data_error(file, "", f"arrays of the shapes {lengths}", "one value a row in each")
    return pd.DataFrame(columns)


def _flags(cells: Sequence[object], name: str, file: Path) -> np.ndarray:
    """[rows], bool, from truth values, 0 and 1, or their names."""
    known = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
    words = [str(cell).strip().lower() for cell in cells]
    wrong = [cell for cell, word in zip(cells, words, strict=True) if word not in known]
    if wrong:
        raise data_error(file, name, f"the value {str(wrong[0])!r}", "0 and 1, or true and false")
    return np.array([known[word] for word in words], bool)


def _by_names(cells: Sequence[object], modalities: Sequence[str], file: Path) -> np.ndarray:
    """[rows, modalities], bool, from the names of what is missing."""
    there = np.ones((len(cells), len(modalities)), bool)
    for row, cell in enumerate(map(str, cells)):
        for part in () if cell.strip().lower() in _NONE else cell.split("+"):
            if part.strip() not in modalities:
                expected = f"names of modalities, joined by +; {nearest(part.strip(), modalities)}"
                raise data_error(file, MISSING, f"{part.strip()!r} (row {row})", expected)
            there[row, modalities.index(part.strip())] = False
    return there


def _check(rows: MaskRows, samples: Mapping[str, Samples], whole: bool, where: str, dataset: str) -> None:
    """Checks that a mask is about the samples of a dataset; ``whole``: it tells of all modalities."""
    known = {str(name) for split in samples.values() for name in split.sample_id}
    ids = rows.sample_id.tolist()
    unknown = [name for name in ids if name not in known]
    lacking = sorted({str(name) for name in samples["test"].sample_id} - set(ids))
    if unknown:
        raise DataError(
            f"{where}: a mask of other samples: {len(unknown)} of {len(ids)} are not in {dataset}, first {unknown[0]}"
        )
    if lacking:
        count = len(samples["test"])
        raise DataError(
            f"{where}: lacks {len(lacking)} of the {count} test samples of {dataset}, first {lacking[0]}"
        )
    if len(set(ids)) < len(ids):
        twice = next(name for place, name in enumerate(ids) if name in ids[:place])
        raise DataError(f"{where}: names the sample {twice} twice; expected each once")
    if whole and not rows.there.any(axis=1).all():
        empty = ids[int(np.argmin(rows.there.any(axis=1)))]
        raise DataError(f"{where}: sample {empty} has no modality left; expected at least one")
