"""Samples without labels, to be predicted: a ``dataset.yaml`` without ``label``, ``task`` and ``split``, or one file of arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import samples as make
from ..dataset import SPLITS, Samples, data_error
from .arrays import array_names, names_of, read_array
from .description import FILE_NAME, SUFFIXES, Description
from .entries import read_yaml
from .read import Loader
from .read_description import read_unlabelled

#: Name of the part of a folder that states no splits.
WHOLE = "all"


def describe_unlabelled(source: Path, modalities: Sequence[str]) -> Description:
    """Describes samples that may have no labels. Labels that are there are not read.

    Args:
        source: a folder with a ``dataset.yaml``, such a file, or a single file of arrays: npz, parquet or safetensors.
        modalities: those that are wanted. In a single file an array of that name holds one, and ``NAME_length`` or
            ``NAME_mask`` its valid steps, ``NAME_tokens`` its token ids; ``sample_id`` names the samples.

    Returns:
        The description of the modalities that are there; ``label`` and, where the folder says none, ``target`` stand
        for nothing.

    Raises:
        DataError: there is nothing, or it is not described as it should be.
    """
    source = source.expanduser()
    file = source / FILE_NAME if source.is_dir() else source
    if not file.is_file():
        expected = f"a folder with a {FILE_NAME}, or one of {', '.join(SUFFIXES)}"
        raise data_error(source, "", f"no {FILE_NAME}" if source.is_dir() else "is not there", expected)
    if file.suffix.lower() not in SUFFIXES:
        return read_unlabelled(file, read_yaml(file, "a dataset description"))
    return read_unlabelled(file, _content(file, modalities))


def _content(file: Path, modalities: Sequence[str]) -> dict[str, Any]:
    """What a ``dataset.yaml`` would say of a single file of arrays."""
    names = array_names(file)
    entries: dict[str, Any] = {}
    for modality in modalities:
        if modality in names or f"{modality}_0" in names:
            rules = {
                rule: f"{modality}_{rule}"
                for rule in ("length", "mask", "tokens")
                if f"{modality}_{rule}" in names
            }
            entries[modality] = {"array": modality, **rules}
    if not entries:
        wrong = f"none of the arrays {', '.join(sorted(names)[:20]) or '(none)'}"
        raise data_error(file, "", wrong, f"arrays named as the modalities {', '.join(modalities)}")
    ids = {"sample_id": "sample_id"} if "sample_id" in names else {}
    return {"file": file.name, "modalities": entries, **ids}


def read_unlabelled_samples(description: Description, part: str | None = None) -> dict[str, Samples]:
    """Reads and checks samples; their targets are NaN.

    Args:
        description: of ``describe_unlabelled``.
        part: ``train``, ``valid`` or ``test``, where the folder states splits; None for all that there is.

    Returns:
        Part -> samples: the splits that the folder states, or all as one part.

    Raises:
        DataError: a file is broken, an array is missing, there is no sample, or no such part.
    """
    return _Loader(description, part).load()


class _Loader(Loader):
    """Reads the arrays of a description without labels."""

    def __init__(self, description: Description, part: str | None) -> None:
        self.name, self.about = "", description
        self.rows = self._parts()
        first = next(iter(description.modalities.values())).features
        known = tuple(self.rows) if self.rows is not None else tuple(first.files)
        if part is not None and part not in known:
            expected = (
                f"one of {', '.join(known)}" if known != (WHOLE,) else "samples in parts, by an entry 'split'"
            )
            raise data_error(description.file, "split", f"no part {part!r}", expected)
        self.splits = known if part is None else (part,)

    def load(self) -> dict[str, Samples]:
        """Every part that is read."""
        features = {name: self.read(ref.features) for name, ref in self.about.modalities.items()}
        steps = {name: self.steps(ref, features[name]) for name, ref in self.about.modalities.items()}
        optional = {name: self.read(ref) for name, ref in self.about.optional.items()}
        return {
            split: self.samples(
                split,
                {name: part[split][0] for name, part in features.items()},
                {name: part[split] for name, part in steps.items()},
                np.full(len(next(iter(features.values()))[split][0]), np.nan, np.float32),
                {},
                {name: part[split][0] for name, part in optional.items()},
            )
            for split in self.splits
        }

    def _parts(self) -> Mapping[str, np.ndarray] | None:
        """Part -> rows of the one file; None where each part has a file of its own."""
        about = self.about
        first = next(iter(about.modalities.values())).features
        if "" not in first.files:
            return None
        if about.split is None:
            return {WHOLE: np.arange(_count(read_array(first.files[""], first.array)[0]))}
        file = about.split.files[""]
        raw, _ = read_array(file, about.split.array)
        names = make.text(names_of(about.split, raw, file, "split"), file, about.split.array)
        rows = {split: np.flatnonzero(names == split) for split in SPLITS}
        if sum(map(len, rows.values())) < len(names):
            row = int(np.argmin(np.isin(names, SPLITS)))
            raise data_error(
                file,
                about.split.array,
                f"unknown split {str(names[row])!r} (sample {row})",
                ", ".join(SPLITS),
            )
        return {split: found for split, found in rows.items() if len(found)} or {WHOLE: np.arange(0)}


def _count(array: np.ndarray) -> int:
    return len(array) if array.ndim else 0
