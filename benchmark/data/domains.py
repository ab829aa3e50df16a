"""Shifts between domains of one dataset: which samples train, validate and test.

By default the sources' training splits train, their validation splits validate, and the target's test split tests.
``ROLES`` holds the alternatives. A *place* of a task is a dataset, such as ``mosi``, or a domain of one, such as
``hust/5hz``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...datasets.conversations import joined
from ...datasets.dataset import SPLITS, DataError, Samples
from ...datasets.samples import take_rows
from ...datasets.token_arrays import concatenate_tokens
from ...datasets.validation import draw_validation
from ..core.task import Task, domain_of

#: Name -> part -> the splits of a domain that play it. In the published protocol for action recognition the sources'
#: *test* lists validate, and all clips of HAC's target are tested: see docs/methods.md.
ROLES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "splits": {split: (split,) for split in SPLITS},
    "test-validates": {"train": ("train", "valid"), "valid": ("test",), "test": ("test",)},
    "test-validates-whole-target": {"train": ("train", "valid"), "valid": ("test",), "test": SPLITS},
}


def domain_counts(splits: Mapping[str, Samples]) -> dict[str, dict[str, int]]:
    """Domain -> split -> number of samples. Domains are in alphabetic order."""
    names = sorted(
        {name for samples in splits.values() for name in np.unique(samples.domain).tolist() if name}
    )
    return {
        name: {split: int((samples.domain == name).sum()) for split, samples in splits.items()}
        for name in names
    }


def check_domain(
    task: Task,
    place: str,
    counts: Mapping[str, int],
    roles: str = "splits",
    target_splits: Sequence[str] = ("test",),
) -> None:
    """Checks that a domain has the samples that its part in a task needs.

    A source needs two training samples, and a test sample where its test samples validate. The target needs a sample
    in each split that is read.

    Args:
        task: the task.
        place: a domain that it names.
        counts: split -> number of samples of the domain.
        roles: one of ``ROLES``.
        target_splits: as ``Job.target_splits``.

    Raises:
        DataError: the domain has fewer.
    """
    train = counts.get("train", 0)
    if place in task.sources and train < 2:
        raise DataError(f"task {task.name}: {place} has {train} training samples; a source needs two or more")
    if place in task.sources and _parts(task, roles)["valid"] == ("test",) and not counts.get("test"):
        raise DataError(f"task {task.name}: {place} has no test samples, which validate with roles {roles}")
    if place != task.target:
        return
    if "test" in target_splits and not counts.get("test"):
        raise DataError(f"task {task.name}: {place} has no test samples")
    if "valid" in target_splits and not counts.get("valid") and train < 2:
        raise DataError(f"task {task.name}: {place} has no validation samples, which the selection needs")
    if _parts(task, roles)["valid"] == ("test",) and {"valid", "test"} <= set(target_splits):
        raise DataError(
            f"task {task.name}: with roles {roles} the target has no validation samples apart from its test "
            "samples: choose by them with --roles splits"
        )


def _parts(task: Task, roles: str) -> Mapping[str, tuple[str, ...]]:
    """Part -> splits. An in-domain task keeps the default, as it would else be tested on what validates."""
    return ROLES["splits" if task.target in task.sources else roles]


def samples_of_place(
    splits: Mapping[str, Samples],
    place: str,
    task: Task,
    roles: str = "splits",
    target_splits: Sequence[str] = ("test",),
) -> dict[str, Samples]:
    """The samples of a place of a task.

    A domain without validation samples gives a share of its training samples where the task needs some, drawn by
    :func:`mmbench.datasets.validation.draw_validation`, by whole conversations where there are some.

    Args:
        splits: split -> samples of the whole dataset.
        place: the dataset, or the domain.
        task: the task that it belongs to.
        roles: one of ``ROLES``.
        target_splits: as ``Job.target_splits``.

    Returns:
        Split -> samples: those of the domain, by the part that they play, or all of a whole dataset.

    Raises:
        DataError: the domain has fewer samples than the task needs.
    """
    domain = domain_of(place)
    if not domain:
        return dict(splits)
    parts = {
        split: take_rows(splits[split], np.flatnonzero(splits[split].domain == domain)) for split in SPLITS
    }
    counts = {split: len(samples) for split, samples in parts.items()}
    check_domain(task, place, counts, roles, target_splits)
    parts = {
        part: concatenate([parts[split] for split in names]) for part, names in _parts(task, roles).items()
    }
    if (place in task.sources or "valid" in target_splits) and not len(parts["valid"]):
        whole = parts["train"]
        said = whole.utterances
        groups = None if said is None else said.conversation.tolist()
        if groups is not None and len(set(groups)) < 2:
            raise DataError(
                f"task {task.name}: {place} has one conversation, which cannot both train and validate"
            )
        validates = draw_validation(len(whole), groups=groups)
        parts |= {
            "train": take_rows(whole, np.flatnonzero(~validates)),
            "valid": take_rows(whole, np.flatnonzero(validates)),
        }
    return parts


def concatenate(parts: Sequence[Samples]) -> Samples:
    """The samples of several splits of a dataset, one split after the other. Shorter sequences are padded with 0."""
    if len(parts) == 1:
        return parts[0]

    def join(arrays: Sequence[np.ndarray]) -> np.ndarray:
        steps = max(array.shape[1] for array in arrays)
        widths = [[(0, 0), (0, steps - array.shape[1])] + [(0, 0)] * (array.ndim - 2) for array in arrays]
        return np.concatenate([np.pad(array, width) for array, width in zip(arrays, widths, strict=True)])

    starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
    previous = [
        np.where(part.previous < 0, -1, part.previous + start)
        for part, start in zip(parts, starts, strict=True)
    ]
    return Samples(
        features={name: join([part.features[name] for part in parts]) for name in parts[0].features},
        mask={name: join([part.mask[name] for part in parts]) for name in parts[0].mask},
        present={name: np.concatenate([part.present[name] for part in parts]) for name in parts[0].present},
        target=np.concatenate([part.target for part in parts]),
        sample_id=np.concatenate([part.sample_id for part in parts]),
        domain=np.concatenate([part.domain for part in parts]),
        previous=np.concatenate(previous),
        observed={
            name: join([part.observed_entries(name) for part in parts])
            for name in parts[0].features
            if any(name in part.observed for part in parts)
        },
        time={
            name: join([part.time[name] for part in parts])
            for name in parts[0].features
            if all(name in part.time for part in parts)
        },
        utterances=joined([part.utterances for part in parts]),
        unimodal_target={
            name: np.concatenate([part.unimodal_target[name] for part in parts])
            for name in parts[0].unimodal_target
            if all(name in part.unimodal_target for part in parts)
        },
        tokens=concatenate_tokens([part.tokens for part in parts], list(parts[0].features)),
    )
