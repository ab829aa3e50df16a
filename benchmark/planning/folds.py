"""The folds of an experiment: how each of its datasets is divided. What was found is cached, so that a dataset is read
once for each way of dividing it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...datasets.dataset import Located
from ..core.atomic_files import read_json, write_json
from ..core.fold import ONE_TEST, Fold
from ..core.locate import locate
from ..core.task import Task
from .data_check import cache_folder

if TYPE_CHECKING:
    from .experiment import Experiment  # no worker needs it


@dataclass(frozen=True)
class Folds:
    """A division of a dataset, without its samples.

    Attributes:
        count, group, leave_one_out, division, parts: as those of ``Fold``.
        leaks: what its folds share, in words.
        notes: what a reader should know of it, in words.
        names: of each fold, as ``Fold.name``; empty where they have none.
    """

    count: int
    group: str
    leave_one_out: bool
    division: str
    leaks: Sequence[str] = ()
    notes: Sequence[str] = ()
    parts: Literal["", "train+valid", "train+valid/test"] = ""
    names: Sequence[str] = ()

    def all(self) -> list[Fold]:
        """Every fold of it, in order."""
        return [
            Fold(index, self.count, self.group, self.leave_one_out, self.division, self.parts, name)
            for index, name in enumerate(self.names or [""] * self.count, 1)
        ]


def folds_of(experiment: Experiment, task: Task, located: Mapping[str, Located]) -> list[Fold | None]:
    """The folds of a task; a single None where the experiment asks for none.

    Args:
        experiment: the experiment.
        task: one of its tasks.
        located: dataset -> where it lies.

    Raises:
        UsageError: the task is a shift, or its data cannot be divided so.
        DataError: they cannot be read.
    """
    if not experiment.folds:
        return [None]
    return [*division_of(experiment, task, located).all()]


def division_of(experiment: Experiment, task: Task, located: Mapping[str, Located]) -> Folds:
    """How an experiment divides the dataset of a task.

    The division is kept in the cache, as it is needed by every plan.

    Args:
        experiment: the experiment, which asks for folds.
        task: one of its tasks.
        located: dataset -> where it lies.

    Raises:
        UsageError: the task is a shift, or its data cannot be divided so.
        DataError: they cannot be read.
    """
    from ..data.folds import all_samples, check_task, divide

    check_task(task)
    own = located[task.datasets[-1]]
    parts = "" if experiment.fold_parts == "all" else experiment.fold_parts
    file = _cache_file(own.fingerprint(), task.target, experiment.folds, experiment.fold_group, parts)
    known = read_json(file)
    if isinstance(known, dict) and known.keys() == {item.name for item in fields(Folds)}:
        return Folds(**known)
    samples = all_samples(own.load(), task.target, parts)
    made = divide(samples, experiment.folds, experiment.fold_group, own, task.target, parts)
    folds = Folds(
        len(made.parts),
        made.group,
        made.leave_one_out,
        made.digest,
        list(made.leaks),
        list(made.notes),
        parts,
        list(made.names),
    )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, asdict(folds))
        write_json(_leaks_file(own.fingerprint(), folds.division), list(folds.leaks))
    except OSError:
        pass  # it is divided again next time
    return folds


def fold_notes(experiment: Experiment) -> list[str]:
    """How an experiment divides its datasets, and what a reader should know of that, in lines."""
    lines: list[str] = []
    for task in experiment.tasks:
        names = task.datasets
        located = {
            name: locate(name, experiment.root, experiment.data, tuple(experiment.plugins)) for name in names
        }
        folds = division_of(experiment, task, located)
        fold, number = folds.all()[0], f", {folds.count} folds" if folds.leave_one_out else ""
        what = "all samples are divided, whatever parts the dataset states"
        if fold.parts == ONE_TEST:
            what = "each fold validates one network, and its test part tests all of them"
        elif fold.parts:
            what = "its test part is read by no network"
        lines.append(f"{task.name}: {fold.rule}{number}; {what}")
        lines += [f"{task.name}: {line}" for line in (*folds.leaks, *folds.notes)]
    return lines


def known_fold_leaks(fingerprint: str, fold: Fold) -> list[str] | None:
    """What the folds of a dataset share, in words, where it was divided on this machine; None where it was not.

    Args:
        fingerprint: of the dataset.
        fold: one of its folds.
    """
    known = read_json(_leaks_file(fingerprint, fold.division))
    return [str(line) for line in known] if isinstance(known, list) else None


def _cache_file(fingerprint: str, place: str, rule: int | str, group: str, parts: str) -> Path:
    asked = [_VERSION, place, rule, group, *([parts] if parts else [])]
    about = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
    return cache_folder() / f"{fingerprint}-folds-{about}.json"


def _leaks_file(fingerprint: str, division: str) -> Path:
    return cache_folder() / f"{fingerprint}-division-{division}.json"


#: Raised when samples would be divided otherwise.
_VERSION = 1
