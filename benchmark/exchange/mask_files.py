"""The files of exported masks that came back, compared with masks that were computed anew: flag by flag."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.strings import counted, single_line
from ..data.split import Split
from ..store.job_schema import RefusedError
from .breakage import Masks
from .foreign_files import read_file
from .foreign_tables import check_table_size
from .manifest import MASKS, STEPS

#: What a npy header takes at most, in bytes.
_HEADER = 4096


class MaskFiles:
    """The files beside a manifest, as far as they were kept.

    Args:
        folder: of the manifest.
        modalities: of the task.
        rows: the most rows that the table of masks can have.

    Raises:
        RefusedError: a file is not in the form that ``masks export`` writes.
    """

    def __init__(self, folder: Path, modalities: tuple[str, ...], rows: int) -> None:
        self.modalities = modalities
        self.table = _table(folder / MASKS, modalities, rows) if (folder / MASKS).exists() else None
        self.steps = _archive(folder / STEPS) if (folder / STEPS).exists() else None

    def check(self, condition: str, parts: Mapping[str, tuple[Split, Masks]]) -> None:
        """Compares what the files say of a condition.

        Args:
            condition: its name.
            parts: name of a split -> the split, and what the condition leaves of it.

        Raises:
            RefusedError: they say something else.
        """
        for split, (samples, masks) in parts.items():
            if self.table is not None:
                self._check_table(split, condition, samples, masks)
            if self.steps is not None:
                for modality, kept in masks.kept.items():
                    self._check_steps(f"{split}/{condition}/{modality}", kept)

    def _check_table(self, split: str, condition: str, samples: Split, masks: Masks) -> None:
        assert self.table is not None
        where = f"{MASKS}: {split}, {condition}"
        rows = self.table.get((split, condition))
        ids = samples.sample_id.astype(str)
        if rows is None:
            raise RefusedError(f"{where}: lacks this condition")
        if len(rows) != len(ids) or set(rows["sample_id"]) != set(ids):
            raise RefusedError(f"{where}: a mask of other samples than the data have")
        ordered = rows.set_index("sample_id").loc[ids]
        for modality in self.modalities:
            wrong = int((ordered[modality].to_numpy(bool) != masks.present[modality]).sum())
            if wrong:
                raise RefusedError(
                    f"{where}: {modality} of {counted(wrong, 'sample')} is otherwise than mmbench applies it"
                )

    def _check_steps(self, name: str, kept: np.ndarray) -> None:
        assert self.steps is not None
        try:
            entry = self.steps.getinfo(f"{name}.npy")
            if entry.file_size > kept.nbytes + _HEADER:
                raise ValueError("more numbers than there are steps")
            found = np.lib.format.read_array(io.BytesIO(self.steps.read(entry)), allow_pickle=False)
        except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
            raise RefusedError(f"{STEPS}: {name}: cannot be read: {single_line(str(error))}") from None
        if found.shape != kept.shape or not np.array_equal(found, kept):
            raise RefusedError(f"{STEPS}: {name}: other steps than mmbench leaves")


def _table(file: Path, modalities: tuple[str, ...], rows: int) -> dict[tuple[str, str], pd.DataFrame]:
    """The table of masks, by split and condition."""
    columns = ["split", "condition", "sample_id", *modalities]
    try:
        content = read_file(file)
        check_table_size(content, file.name, rows)
        frame = pq.read_table(io.BytesIO(content), columns=columns).to_pandas(ignore_metadata=True)
        if list(frame) != columns or frame.isna().any(axis=None):
            raise RefusedError(f"{file.name}: lacks one of the columns {', '.join(columns)}, or values in it")
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise RefusedError(f"{file.name}: not a table of masks: {single_line(str(error))}") from None
    groups = frame.groupby(["split", "condition"], observed=True)
    return {(str(split), str(condition)): part for (split, condition), part in groups}


def _archive(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(read_file(file)))
    except zipfile.BadZipFile as error:
        raise RefusedError(f"{file.name}: not an npz file: {single_line(str(error))}") from None
