"""Reading the sentiment pickles that ``mmsa.py`` describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import samples as make
from ..dataset import SPLITS, Samples, Target, data_error
from ..token_arrays import token_rows
from .mmsa_layout import (
    ALL_LABELS,
    LABELS,
    MODALITIES,
    OTHER_NAMES,
    SYNTHETIC_KEY,
    TOKENS,
    UNIMODAL_LABELS,
)
from .unpickle import load_pickle


def read_pickle(file: Path, name: str, target: Target, synthetic: bool) -> dict[str, Samples]:
    """Reads and checks every split of a sentiment pickle.

    Args:
        file: the pickle.
        name: the dataset's name, which becomes the samples' domain.
        target: what the labels are.
        synthetic: whether its first bytes say that mmbench generated it.

    Returns:
        Split -> samples.

    Raises:
        DataError: the file is no pickle of arrays, marked wrongly as a stand-in or not, or a split is wrong.
    """
    content = load_pickle(file)
    if not isinstance(content, dict):
        raise data_error(file, "", f"holds a {type(content).__name__}", "a dict with train, valid, test")
    if (SYNTHETIC_KEY in content) != synthetic:
        raise data_error(
            file,
            SYNTHETIC_KEY,
            "the mark of a stand-in is not where it should be",
            "a stand-in that says so in its first bytes, or a real file without the mark",
        )
    splits = {split: split_samples(content, split, name, target, file) for split in SPLITS}
    make.check_splits(splits, file)
    return splits


def split_samples(content: Mapping[Any, Any], split: str, name: str, target: Target, file: Path) -> Samples:
    """The checked samples of one split of a sentiment pickle's content.

    Args:
        content: the whole dict.
        split: which part of it.
        name: the dataset's name, which becomes the samples' domain.
        target: what the labels are.
        file: what an error names.

    Raises:
        DataError: a key is missing; NaN; a wrong shape; labels out of range; unequal numbers of samples.
    """
    part = content.get(split)
    if not isinstance(part, dict):
        wrong = "missing" if part is None else f"is a {type(part).__name__}"
        expected = f"a dict with {', '.join(MODALITIES)}, {LABELS} ({_found(content, split)})"
        raise data_error(file, split, wrong, expected)
    part = as_mmsa(part)
    for key in (*MODALITIES, LABELS):
        if key not in part:
            raise data_error(file, f"{split}/{key}", "missing", f"an array ({_found(part, key)})")
    scores = make.labels(part[LABELS], target, file, f"{split}/{LABELS}")
    unimodal = {
        m: make.labels(part[key], target, file, f"{split}/{key}")
        for m, key in UNIMODAL_LABELS.items()
        if part.get(key) is not None and not _states_none(part[key])
    }
    arrays = {m: _features(part, m, file, split) for m in MODALITIES}
    mask = {m: _mask(part, m, arrays[m], file, split) for m in MODALITIES}
    extra = (TOKENS, "audio_lengths", "vision_lengths")
    lengths = {key: np.asarray(part[key]) for key in extra if part.get(key) is not None}
    names = {"id": make.text(part["id"], file, f"{split}/id")} if part.get("id") is not None else {}
    labels = {UNIMODAL_LABELS[m]: array for m, array in unimodal.items()}
    count = make.check_rows({LABELS: scores, **labels, **arrays, **lengths, **names}, file, split)
    ids = names.get("id", np.array([f"{split}-{row}" for row in range(count)]))
    return Samples(
        features=arrays,
        mask=mask,
        present=make.present(mask),
        target=scores,
        sample_id=ids,
        domain=np.full(count, name),
        previous=_previous(ids),
        unimodal_target=unimodal,
        tokens=_tokens(part, file, split),
    )


def _found(entries: Mapping[Any, Any], key: str) -> str:
    """What is there instead of a missing entry, and what of it is to be renamed."""
    names = list(map(str, entries))
    close = [name for name in names if name.casefold() in OTHER_NAMES.get(key, ()) or name.casefold() == key]
    remedy = f"; rename {close[0]!r} to {key!r}" if close else ""
    return f"found: {', '.join(names) or 'nothing'}{remedy}"


def as_mmsa(part: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """A split of MulT's and MultiBench's pickles as one of MMSA's; any other as it is.

    They keep scores as ``labels`` [samples, 1, 1], and names as ``id`` [samples, parts], such as video, begin and end.
    Names that are no names of single samples are left out.
    """
    if LABELS in part or ALL_LABELS not in part:
        return part
    scores = np.asarray(part[ALL_LABELS])
    named = {**part, LABELS: scores.reshape(len(scores), -1) if scores.ndim > 1 else scores}
    names = np.asarray(named.pop("id", ()))
    if names.ndim == 2:
        names = np.array(["_".join(_word(cell) for cell in row) for row in names.tolist()], dtype=str)
    whole = names.ndim == 1 and len(names) == len(scores) == len(set(names.tolist()))
    return {**named, "id": names} if whole else named


def _word(cell: object) -> str:
    return cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)


def _tokens(part: Mapping[object, object], file: Path, split: str) -> dict[str, np.ndarray]:
    """The token ids of the text, where the file has them, of these features or of others."""
    stored = part.get(TOKENS)
    return {} if stored is None else {"text": token_rows(stored, file, f"{split}/{TOKENS}")}


def _states_none(labels: object) -> bool:
    """Whether every label is NaN: some tools write the key for datasets that have no such labels."""
    values = np.asarray(labels)
    return values.dtype.kind == "f" and bool(np.isnan(values).all())


def _features(part: Mapping[object, object], name: str, file: Path, split: str) -> np.ndarray:
    # As in MMSA, -inf is silence in audio; in text and vision it is an error. What stands in stated padding is no data.
    key = f"{split}/{name}"
    values = make.numbers(part[name], file, key)
    if values.ndim != 3:
        shape = "x".join(map(str, values.shape))
        if 0 in values.shape:
            raise data_error(file, key, "no samples", "at least one")
        raise data_error(file, key, f"shape {shape}", "[samples, time, feature]")
    if _states_padding(part, name, values.shape) and not np.isfinite(values).all():
        finite = np.isfinite(values)
        mask = _mask(part, name, np.where(finite, values, 0), file, split)
        if len(mask) == len(values):
            values = np.where(finite | mask[..., None], values, 0)
    return make.features(values, file, key, negative_infinity_to_zero=name == "audio")


def _states_padding(part: Mapping[object, object], name: str, shape: tuple[int, ...]) -> bool:
    """Whether the file says which steps of a modality are padding; else those are that hold zeros only."""
    tokens = part.get(TOKENS) if name == "text" else None
    by_tokens = tokens is not None and np.asarray(tokens).shape == (shape[0], 3, shape[1])
    return by_tokens or part.get(f"{name}_lengths") is not None


def _mask(part: Mapping[object, object], name: str, array: np.ndarray, file: Path, split: str) -> np.ndarray:
    steps = array.shape[1]
    if name == "text":
        # [samples, 3, time]: token ids, attention mask, segment. One of another length describes other text
        # features (those of a fine-tuned encoder), so it says nothing about these.
        tokens = np.asarray(part[TOKENS]) if part.get(TOKENS) is not None else np.empty(0)
        if tokens.shape == (len(array), 3, steps):
            return make.numbers(tokens, file, f"{split}/{TOKENS}")[:, 1] > 0
    key = f"{name}_lengths"
    if part.get(key) is None:
        return make.mask_nonzero(array)
    mask = make.mask_from_lengths(part[key], steps, file, f"{split}/{key}")
    if len(mask) != len(array):
        return mask  # reported with the other numbers of samples
    # Some files pad at the left: there the data lie in the last steps, and the first hold zeros only.
    filled = make.mask_nonzero(array)
    reverse = mask[:, ::-1]
    at_left = np.any(filled & ~mask, axis=1, keepdims=True) & ~np.any(
        filled & ~reverse, axis=1, keepdims=True
    )
    return np.where(at_left, reverse, mask)


def _previous(ids: np.ndarray) -> np.ndarray:
    parts = [str(sample_id).rsplit("$_$", 1) for sample_id in ids]
    if not all(len(part) == 2 for part in parts):
        return np.full(len(ids), -1, dtype=np.int64)
    return make.previous_rows(np.array([part[0] for part in parts]), np.array([part[1] for part in parts]))
