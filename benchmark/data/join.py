"""Samples of several datasets as one batch: features side by side and standardised, labels on one scale."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch

from ...datasets.batch import Batch
from ...datasets.dataset import Samples
from ..core.task import dataset_of
from .compatibility import Blocks
from .standardization import Statistics, standardize


def join_samples(
    parts: Sequence[tuple[str, Samples]],
    blocks: Mapping[str, Blocks],
    scales: Mapping[str, float],
    domain_index: Mapping[str, int],
    statistics: Statistics | None,
) -> Batch:
    """The tensors of the samples of several datasets, or of domains of datasets, one after the other, on the CPU.

    Args:
        parts: dataset (or its domain) and samples.
        blocks: modality -> which columns each of them fills.
        scales: dataset -> the factor of its labels.
        domain_index: source -> its index; others get -1.
        statistics: what features are standardised with; None leaves them as they are.
    """
    total = sum(len(part) for _, part in parts)
    features, mask, present, observed, time = {}, {}, {}, {}, {}
    for modality, places in blocks.items():
        steps = max(part.features[modality].shape[1] for _, part in parts)
        joined = np.zeros((total, steps, max(sum(place) for place in places.values())), np.float32)
        valid = np.zeros((total, steps), bool)
        row = 0
        for name, part in parts:
            start, width = places[name]
            rows, length = slice(row, row + len(part)), part.features[modality].shape[1]
            values = joined[rows, :length, start : start + width]  # a view: nothing is held twice
            values[...] = part.features[modality]
            if statistics:
                standardize(values, *statistics[modality][start])
            valid[rows, :length] = part.mask[modality]
            row += len(part)
        joined[~valid] = 0.0
        if any(modality in part.observed for _, part in parts):
            entries = _entries(modality, parts, places, joined.shape)
            joined[~entries] = 0.0
            observed[modality] = torch.from_numpy(entries)
        if all(modality in part.time for _, part in parts):
            time[modality] = torch.from_numpy(_times(modality, parts, joined.shape[:2]))
        features[modality] = torch.from_numpy(joined)
        mask[modality] = torch.from_numpy(valid)
        present[modality] = torch.from_numpy(np.concatenate([part.present[modality] for _, part in parts]))
    target = np.concatenate([_targets(part.target, scales[name]) for name, part in parts])
    domain = np.concatenate([np.full(len(part), domain_index.get(name, -1)) for name, part in parts])
    labelled = [m for m in blocks if all(m in part.unimodal_target for _, part in parts)]
    hashes = [sample_hash(dataset_of(name), sample) for name, part in parts for sample in part.sample_id]
    return Batch(
        features=features,
        mask=mask,
        present=present,
        target=torch.from_numpy(target),
        domain=torch.from_numpy(domain.astype(np.int64)),
        sample_id=torch.tensor(hashes, dtype=torch.int64),
        observed=observed,
        time=time,
        unimodal_target={
            m: torch.from_numpy(
                np.concatenate([_targets(part.unimodal_target[m], scales[name]) for name, part in parts])
            )
            for m in labelled
        },
    )


def _entries(
    modality: str, parts: Sequence[tuple[str, Samples]], places: Blocks, shape: tuple[int, ...]
) -> np.ndarray:
    """Which entries of a joined modality were observed; in columns that a dataset does not fill, none.

    Args:
        modality: partly observed in one of the parts or more.
        parts: as of ``join_samples``.
        places: which columns each of them fills.
        shape: [samples, time, feature].

    Returns:
        bool of that shape; false at steps that are not valid.
    """
    entries = np.zeros(shape, bool)
    row = 0
    for name, part in parts:
        start, width = places[name]
        found = part.observed_entries(modality)
        entries[row : row + len(part), : found.shape[1], start : start + width] = found
        row += len(part)
    return entries


def _times(modality: str, parts: Sequence[tuple[str, Samples]], shape: tuple[int, ...]) -> np.ndarray:
    """When each step of a joined modality was, float32 of ``shape``, [samples, time]; 0 at padding."""
    times = np.zeros(shape, np.float32)
    row = 0
    for _, part in parts:
        found = part.time[modality]
        times[row : row + len(part), : found.shape[1]] = found
        row += len(part)
    return times


def _targets(target: np.ndarray, scale: float) -> np.ndarray:
    return target.astype(np.int64) if target.dtype.kind in "iu" else (target * scale).astype(np.float32)


@lru_cache(maxsize=1 << 20)
def sample_hash(dataset: str, sample_id: str) -> int:
    """A signed 64-bit hash of a sample, which seeds its random corruptions.

    Args:
        dataset: the name of its dataset.
        sample_id: its name there.
    """
    digest = hashlib.blake2b(f"{dataset}/{sample_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
