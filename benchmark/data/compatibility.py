"""Whether the datasets of a task can be joined, and how. Reads descriptions of datasets only, no arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...datasets.dataset import SPLITS, DataError, Located, Target
from ..core.errors import UsageError
from ..core.task import Task, domain_of


def common_target(targets: Mapping[str, Target]) -> Target:
    """The target of a task: that of its last dataset, with labels on the widest scale of all datasets.

    Args:
        targets: dataset -> its target, the target dataset of the task last.

    Raises:
        DataError: kinds or classes differ, or label ranges are not multiples of each other.
    """
    name, target = list(targets.items())[-1]
    for other, value in targets.items():
        if value.kind != target.kind or value.classes != target.classes:
            raise DataError(
                f"{other} and {name} cannot be joined: {_target_in_words(value)} and {_target_in_words(target)}"
            )
    ranges = [value.label_range for value in targets.values() if value.label_range]
    if not ranges:
        return target
    widest = max(ranges, key=lambda ends: ends[1] - ends[0])
    for other, value in targets.items():
        ends = value.label_range
        if ends and abs(ends[0] * widest[1] - ends[1] * widest[0]) > 1e-9:
            raise DataError(f"{other}: labels in {ends} cannot be scaled to {widest}")
    return replace(target, label_range=widest)


def common_encoders(task: Task, located: Mapping[str, Located]) -> dict[str, str]:
    """Modality -> the encoder of a network that the datasets of a task ask for.

    Args:
        task: the task.
        located: its datasets, by name. A dataset without ``encoders`` asks for ``"sequence"``.

    Raises:
        DataError: two datasets ask for different ones.
    """
    asked = {name: getattr(located[name], "encoders", {}) for name in task.datasets}
    common: dict[str, str] = {}
    for modality in dict.fromkeys(m for encoders in asked.values() for m in encoders):
        users = {
            name: encoders.get(modality, "sequence")
            for name, encoders in asked.items()
            if modality in located[name].modalities
        }
        if len(set(users.values())) > 1:
            words = ", ".join(f"{encoder} in {name}" for name, encoder in users.items())
            raise DataError(f"task {task.name}: {modality} is read by different encoders ({words})")
        common[modality] = next(iter(users.values()))
    return common


def _target_in_words(target: Target) -> str:
    classes = f" of {', '.join(target.classes)}" if target.classes else ""
    return f"{target.kind}{classes}"


def label_scale(own: Target, common: Target) -> float:
    """The factor from the labels of a dataset to those of its task: 3 for SIMS ([-1, 1]) beside MOSI ([-3, 3]).

    Args:
        own: target of the dataset.
        common: target of the task.
    """
    if not own.label_range or not common.label_range or not own.label_range[1]:
        return 1.0
    return common.label_range[1] / own.label_range[1]


#: dataset, or domain of one -> first column and number of columns of its features in the joined tensor
Blocks = dict[str, tuple[int, int]]


def check_split_sizes(name: str, counts: Mapping[str, int], task: Task | None = None) -> None:
    """Checks that every split of a dataset has samples.

    Args:
        name: of the dataset, for the message.
        counts: split -> number of samples.
        task: what is done with it, for the message: folds divide a dataset, and no shift.

    Raises:
        DataError: a split has none.
    """
    if counts.get("train") and not counts.get("valid") and not counts.get("test"):
        advice = "divide it with --folds 5"
        if task is not None and task.sources != (task.target,):  # no folds divide a shift
            advice = "a shift between datasets needs those of each"
            if domain_of(task.target):
                advice = f"leave each domain out: --datasets {name} --folds leave-one-out --fold-group domain"
        raise DataError(f"{name}: the dataset has no parts of its own; {advice}")
    for split in SPLITS:
        if not counts.get(split):
            raise DataError(f"{name}: split {split!r} has no samples; it needs at least one")


def feature_blocks(task: Task, modality: str, widths: Mapping[str, int], mode: str) -> Blocks:
    """The columns of the joined tensor that the features of each dataset fill, for one modality.

    Under ``strict`` all datasets must have the same number of features. Under ``project`` each number of features gets
    columns of its own, which are zero for the other datasets. The first linear layer of a network then acts as one
    projection for each number of features.

    Args:
        task: the task.
        modality: its name, for the message.
        widths: dataset -> number of features.
        mode: ``strict`` or ``project``.

    Raises:
        DataError: widths differ under ``strict``, or the target's is that of no source.
    """
    if len(set(widths.values())) == 1:
        return {name: (0, width) for name, width in widths.items()}
    described = ", ".join(f"{name} {width}" for name, width in widths.items())
    if mode == "strict":
        raise DataError(
            f"task {task.name}: {modality} has different widths ({described}): "
            "use files with equal features, or --widths project for a projection per domain"
        )
    if widths[task.target] not in {widths[name] for name in task.sources}:
        raise DataError(
            f"task {task.name}: no source has {modality} as wide as the target ({described}), "
            "so no projection for it would ever be trained: "
            "use files with equal features (the CASP ones have them)"
        )
    starts: dict[int, int] = {}
    for width in widths.values():
        if width not in starts:
            starts[width] = sum(starts)  # the widths before it
    return {name: (starts[width], width) for name, width in widths.items()}


def shared_modalities(task: Task, located: Mapping[str, Located]) -> tuple[str, ...]:
    """The modalities that every dataset of a task has, in the order of the target dataset.

    Args:
        task: the task.
        located: dataset -> where it lies, of all its datasets.

    Raises:
        UsageError: there is none.
    """
    names = located[task.datasets[-1]].modalities
    shared = tuple(name for name in names if all(name in located[d].modalities for d in task.datasets))
    if not shared:
        raise UsageError(f"task {task.name}: its datasets have no modality in common")
    return shared
