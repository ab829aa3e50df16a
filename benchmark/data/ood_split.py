"""Another dataset, or a domain of one, as the out-of-distribution (OOD) set of a trained network.

A *near* OOD set could be a domain of the task: it has the network's modalities with as many features, and labels that
can be joined with those of the task. Its features are not changed.

A *far* OOD set is any other dataset, resized to fit the network. Modalities are matched by name, or in their order
where the network and the dataset share no name. Another number of features is changed by linear interpolation along
the feature axis, and a sequence longer than the longest of the sources by linear interpolation in time. A modality that
the dataset lacks is marked as missing.

Both are then standardised with the statistics of the sources, as the network's own test data are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from ...datasets.dataset import DataError, Located, Samples, Target
from ...datasets.samples import take_rows
from ..core.task import Task
from .compatibility import check_split_sizes, common_target
from .split import Split
from .tensors import TaskData


def ood_split(
    located: Located, task: Task, targets: Mapping[str, Target], data: TaskData, domain: str = ""
) -> tuple[Literal["near", "far"], Split]:
    """The test split of a dataset as tensors for a network that was trained on other data.

    Args:
        located: the dataset.
        task: what the network was trained for.
        targets: dataset -> what it predicts, of the task.
        data: what the network was trained on, with its modalities only.
        domain: the domain whose samples are used; all samples where it is empty.

    Returns:
        Whether the dataset is near or far, and its test samples. Their targets are 0 and have no meaning.

    Raises:
        DataError: the dataset is faulty, or has no test sample of the domain.
    """
    splits = located.load()
    check_split_sizes(located.name, {name: len(split) for name, split in splits.items()})
    samples = splits["test"]
    if domain:
        samples = take_rows(samples, np.flatnonzero(samples.domain == domain))
        if not len(samples):
            raise DataError(f"{located.name}: no test sample is of domain {domain}")
    places = {name: _place(name, samples, task, data) for name in data.train.batch.modalities}
    near = _can_join(located, targets) and all(
        name in samples.features and samples.features[name].shape[2] == width
        for name, (_, width) in places.items()
    )
    if not near:
        steps = {name: array.shape[1] for name, array in data.train.batch.features.items()}
        samples = resize_samples(samples, {name: width for name, (_, width) in places.items()}, steps)
    samples = replace(samples, target=np.zeros(len(samples), np.float32), unimodal_target={})
    blocks = {name: {**data.recipe.blocks[name], located.name: place} for name, place in places.items()}
    recipe = replace(data.recipe, blocks=blocks)
    return "near" if near else "far", recipe.split([(located.name, samples)], {located.name: 1.0}, {})


def _place(modality: str, samples: Samples, task: Task, data: TaskData) -> tuple[int, int]:
    """First column and number of columns that the features of an OOD set fill: those of a source with as many features,
    else those of the first source."""
    blocks = data.recipe.blocks[modality]
    places = [blocks[source] for source in task.sources]
    own = samples.features[modality].shape[2] if modality in samples.features else 0
    return next((place for place in places if place[1] == own), places[0])


def _can_join(located: Located, targets: Mapping[str, Target]) -> bool:
    try:
        common_target({located.name: located.target, **targets})
    except DataError:
        return False
    return True


def resize_samples(samples: Samples, widths: Mapping[str, int], steps: Mapping[str, int]) -> Samples:
    """Samples of any dataset with the modalities and sizes of a network.

    Args:
        samples: the samples.
        widths: modality of the network -> number of features.
        steps: modality of the network -> the longest sequence of the sources.

    Returns:
        The samples with these modalities, at these widths, no sequence longer than these steps.
    """
    count = len(samples)
    features, mask, present, observed, time = {}, {}, {}, {}, {}
    for name, theirs in pair_modalities(tuple(widths), tuple(samples.features)).items():
        if theirs is None:
            features[name] = np.zeros((count, 1, widths[name]), np.float32)
            mask[name], present[name] = np.zeros((count, 1), bool), np.zeros(count, bool)
            continue
        values, valid = shorten_sequences(samples.features[theirs], samples.mask[theirs], steps[name])
        features[name], mask[name] = resize_features(values, widths[name]), valid
        present[name] = samples.present[theirs]
        if theirs in samples.observed:
            told = samples.observed_entries(theirs).astype(np.float32)
            told = resize_features(
                shorten_sequences(told, samples.mask[theirs], steps[name])[0], widths[name]
            )
            observed[name] = told > 1 - 1e-4  # all that an entry is interpolated from
            features[name] = np.where(observed[name], features[name], 0)
            present[name] = present[name] & observed[name].any(axis=(1, 2))
        if theirs in samples.time:
            moments = samples.time[theirs][..., None]
            time[name] = shorten_sequences(moments, samples.mask[theirs], steps[name])[0][..., 0]
    return replace(samples, features=features, mask=mask, present=present, observed=observed, time=time)


def pair_modalities(own: Sequence[str], theirs: Sequence[str]) -> dict[str, str | None]:
    """Matches modalities by name, or in their order where no name is shared.

    Args:
        own: the modalities of the network.
        theirs: the modalities of the dataset.

    Returns:
        Modality of the network -> modality of the dataset, or None where there is none for it.
    """
    if set(own) & set(theirs):
        return {name: name if name in theirs else None for name in own}
    return {name: theirs[place] if place < len(theirs) else None for place, name in enumerate(own)}


def resize_features(values: np.ndarray, width: int) -> np.ndarray:
    """Features interpolated linearly to another width. The first and the last feature stay the first and the last.

    Args:
        values: [samples, time, any], float32.
        width: number of features.

    Returns:
        [samples, time, width], float32.
    """
    if values.shape[2] == width:
        return values
    low, high, share = _between(values.shape[2], width)
    return _interpolate(values[:, :, low], values[:, :, high], share.astype(np.float32))


def shorten_sequences(values: np.ndarray, mask: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Shortens sequences to at most ``steps`` time steps.

    Valid steps are moved to the front. More than ``steps`` of them are interpolated linearly.

    Args:
        values: features, float32 [samples, time, width].
        mask: which steps are valid, bool [samples, time].
        steps: the largest number of time steps.

    Returns:
        Features and mask with at most ``steps`` steps. What is short enough is returned as it is.
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
    """Where to read ``new`` evenly spaced values among ``old`` ones.

    Returns:
        For each new value the index of its lower and of its upper neighbour, int64 [new], and the weight of the upper
        one, float64 [new].
    """
    place = np.linspace(0, old - 1, new)
    low = np.floor(place).astype(np.int64)
    return low, np.minimum(low + 1, old - 1), place - low


def _interpolate(low: np.ndarray, high: np.ndarray, share: np.ndarray) -> np.ndarray:
    return (low * (1 - share) + high * share).astype(np.float32)
