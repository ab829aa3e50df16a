"""Another dataset, or a domain of one, as the out-of-distribution set of a trained network.

*Near*: it could be a domain of the task: it has the network's modalities at the same widths, and labels that can
be joined with the task's. Its features stay as they are.

*Far*: any other dataset, resized to fit. Modalities go by name; where no name is shared, the first stands for the
first, the second for the second. Other widths are brought to the network's by linear interpolation along the
feature axis (first to first, last to last feature), sequences longer than the sources' longest by linear
interpolation in time. What a dataset lacks is absent.

Both are then standardised by the sources, as the network's own test data are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from ...datasets.dataset import DataError, Located, Samples, Target
from ..core.task import Task
from .class_holdout import take_rows
from .compatibility import check_split_sizes, common_target
from .tensors import Split, TaskData


def ood_split(
    found: Located, task: Task, targets: Mapping[str, Target], data: TaskData, domain: str = ""
) -> tuple[Literal["near", "far"], Split]:
    """The test split of a dataset that a network was not made for, as tensors for that network.

    Args:
        found: the dataset.
        task: what the network was trained for.
        targets: dataset -> what it predicts, of the task.
        data: what the network was trained on, with its modalities only.
        domain: the one of its domains that is asked for; all where it is empty.

    Returns:
        Whether the dataset is near or far, and its test samples. Their targets are 0 and mean nothing.

    Raises:
        DataError: the dataset is faulty, or has no test sample of the domain.
    """
    splits = found.load()
    check_split_sizes(found.name, {name: len(split) for name, split in splits.items()})
    samples = splits["test"]
    if domain:
        samples = take_rows(samples, np.flatnonzero(samples.domain == domain))
        if not len(samples):
            raise DataError(f"{found.name}: no test sample is of domain {domain}")
    places = {name: _place(name, samples, task, data) for name in data.train.batch.modalities}
    near = _joinable(found, targets) and all(
        name in samples.features and samples.features[name].shape[2] == width
        for name, (_, width) in places.items()
    )
    if not near:
        steps = {name: array.shape[1] for name, array in data.train.batch.features.items()}
        samples = resize_samples(samples, {name: width for name, (_, width) in places.items()}, steps)
    samples = replace(samples, target=np.zeros(len(samples), np.float32))
    blocks = {name: {**data.recipe.blocks[name], found.name: place} for name, place in places.items()}
    recipe = replace(data.recipe, blocks=blocks)
    return "near" if near else "far", recipe.split([(found.name, samples)], {found.name: 1.0}, {})


def _place(modality: str, samples: Samples, task: Task, data: TaskData) -> tuple[int, int]:
    """First column and width: of a source that has the dataset's width, else of the first source."""
    blocks = data.recipe.blocks[modality]
    places = [blocks[source] for source in task.sources]
    own = samples.features[modality].shape[2] if modality in samples.features else 0
    return next((place for place in places if place[1] == own), places[0])


def _joinable(found: Located, targets: Mapping[str, Target]) -> bool:
    try:
        common_target({found.name: found.target, **targets})
    except DataError:
        return False
    return True


def resize_samples(samples: Samples, widths: Mapping[str, int], steps: Mapping[str, int]) -> Samples:
    """Samples of any dataset as those of a network.

    Args:
        samples: the samples.
        widths: modality of the network -> number of features.
        steps: modality of the network -> the longest sequence of the sources.

    Returns:
        The samples with these modalities, at these widths, no sequence longer than these steps.
    """
    count = len(samples)
    features, mask, present = {}, {}, {}
    for name, theirs in pair_modalities(tuple(widths), tuple(samples.features)).items():
        if theirs is None:
            features[name] = np.zeros((count, 1, widths[name]), np.float32)
            mask[name], present[name] = np.zeros((count, 1), bool), np.zeros(count, bool)
            continue
        values, valid = shorten_sequences(samples.features[theirs], samples.mask[theirs], steps[name])
        features[name], mask[name] = resize_features(values, widths[name]), valid
        present[name] = samples.present[theirs]
    return replace(samples, features=features, mask=mask, present=present)


def pair_modalities(own: Sequence[str], theirs: Sequence[str]) -> dict[str, str | None]:
    """Modality of the network -> of the dataset: of the same name, or, where no name is shared, in order."""
    if set(own) & set(theirs):
        return {name: name if name in theirs else None for name in own}
    return {name: theirs[place] if place < len(theirs) else None for place, name in enumerate(own)}


def resize_features(values: np.ndarray, width: int) -> np.ndarray:
    """Features [samples, time, any] at another width [samples, time, width], by linear interpolation."""
    if values.shape[2] == width:
        return values
    low, high, share = _between(values.shape[2], width)
    return _interpolate(values[:, :, low], values[:, :, high], share.astype(np.float32))


def shorten_sequences(values: np.ndarray, mask: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Features [samples, time, width] and mask [samples, time] with at most ``steps`` time steps.

    Valid steps move together to the front; more than ``steps`` of them are interpolated linearly.
    """
    if values.shape[1] <= steps:
        return values, mask
    out = np.zeros((len(values), steps, values.shape[2]), np.float32)
    counts = mask.sum(axis=1)
    for row, count in enumerate(counts):
        valid = values[row, mask[row]]
        if count <= steps:
            out[row, :count] = valid
        else:
            low, high, share = _between(count, steps)
            out[row] = _interpolate(valid[low], valid[high], share.astype(np.float32)[:, None])
    return out, np.arange(steps) < counts[:, None]


def _between(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of ``new`` evenly spaced places among ``old``: its neighbours and the share of the higher."""
    place = np.linspace(0, old - 1, new)
    low = np.floor(place).astype(np.int64)
    return low, np.minimum(low + 1, old - 1), place - low


def _interpolate(low: np.ndarray, high: np.ndarray, share: np.ndarray) -> np.ndarray:
    return (low * (1 - share) + high * share).astype(np.float32)
