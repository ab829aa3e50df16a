"""Cross-validation: all samples of a dataset, or of one of its domains, divided into folds in place of its own parts.

One fold tests, or, where the dataset's own test part tests every network, validates. Of the rest a part validates, drawn as where a dataset states no validation part, by the same groups; all
others train. The division depends on the data alone, so that every method, modality set and seed has the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ...datasets.dataset import SPLITS, DataError, Located, Samples, Target
from ...datasets.folds import draw_folds, folds_of_groups
from ...datasets.leaks import groups_of
from ...datasets.samples import take_rows
from ...datasets.validation import draw_validation
from ..core.errors import UsageError, nearest
from ..core.fold import AUTO, LEAVE_ONE_OUT, ONE_TEST, SINGLE, TRAIN_VALID, Fold
from ..core.strings import counted
from ..core.task import Task, domain_of
from .domains import concatenate

#: The fewest groups: one tests, one validates, one trains.
FEWEST_GROUPS = 3


@dataclass(frozen=True)
class Division:
    """The folds of a dataset.

    Attributes:
        group: what lies in one fold as a whole, as the dataset calls it; empty for single samples.
        leave_one_out: whether every group is a fold of its own.
        parts: [folds, samples], int8, the place in ``SPLITS`` of the part that each sample plays in each fold.
        digest: 16 hexadecimal digits that stand for the parts of all samples, whatever their order.
        leaks: what the folds share, in words.
        notes: what a reader should know of the folds, in words.
        names: what each fold leaves out, where every group is a fold; else empty.
    """

    group: str
    leave_one_out: bool
    parts: np.ndarray
    digest: str
    leaks: tuple[str, ...]
    notes: tuple[str, ...]
    names: tuple[str, ...] = ()


def all_samples(splits: Mapping[str, Samples], place: str, parts: str = "") -> Samples:
    """The samples of all parts of a dataset as one, with their groups where any has one.

    Args:
        splits: split -> samples.
        place: the dataset, or one of its domains, whose samples alone are taken.
        parts: ``TRAIN_VALID`` and ``ONE_TEST`` leave out the test part.

    Returns:
        All of them, one part after the other; ``group`` is empty where a sample has none.

    Raises:
        UsageError: the test part is to be left out, and the dataset has no parts.
    """
    if parts and not len(splits["test"]):
        does = "leaves the test part alone" if parts == TRAIN_VALID else "tests on the test part"
        raise UsageError(f"{place}: --fold-parts {parts} {does}, and the dataset has no parts")
    named = [part for name, part in splits.items() if len(part) and not (parts and name == "test")]
    whole = concatenate(named)
    groups = np.concatenate([groups_of(part) for part in named])
    whole = replace(whole, group=groups if (groups != "").any() else None)
    domain = domain_of(place)
    return take_rows(whole, np.flatnonzero(whole.domain == domain)) if domain else whole


def check_task(task: Task) -> None:
    """Checks that a task can be divided into folds. Raises UsageError for a shift, whose parts are different data."""
    if task.sources != (task.target,) or task.open:
        raise UsageError(
            f"task {task.name}: folds divide one dataset, and this one trains and tests on different data; name a "
            f"dataset (--datasets {task.datasets[-1]}), or leave each domain out: --folds {LEAVE_ONE_OUT} --fold-group domain"
        )


def divide(
    samples: Samples, rule: int | str, group: str, located: Located, place: str, of: str = ""
) -> Division:
    """Divides samples into folds, and checks that a network can be trained in each.

    Args:
        samples: as ``all_samples`` gives them.
        rule: the number of folds, or ``LEAVE_ONE_OUT``.
        group: what is to lie in one fold as a whole: ``AUTO``, ``SINGLE``, or a name.
        located: their dataset.
        place: what messages call them.
        of: as ``Fold.parts``; where ``ONE_TEST``, a fold validates and no sample tests.

    Returns:
        The division.

    Raises:
        UsageError: there is no such group, fewer groups than folds, or a fold whose training part has one class.
    """
    known = _groupings(samples, located)
    name = _chosen(group, rule, known, place)
    classes = samples.target if located.target.kind == "classification" else None
    names = [str(one) for one in samples.sample_id]
    left_out: tuple[str, ...] = ()
    wholes = [str(one) for one in known[name].names] if name else None
    try:
        if wholes is not None and len(set(wholes)) < FEWEST_GROUPS:
            raise ValueError(
                f"it has {len(set(wholes))} of them, and {FEWEST_GROUPS} are needed: to test, to validate, to train"
            )
        if rule == LEAVE_ONE_OUT:
            assert wholes is not None  # see _chosen
            fold = folds_of_groups(wholes)
            left_out = tuple(sorted(set(wholes)))
        else:
            fold = draw_folds(int(rule), names, classes=classes, groups=wholes)
    except ValueError as error:
        by = f" by {name}" if name else ""
        raise UsageError(f"{place} cannot be divided (--folds {rule}{by}): {error}") from None
    count = int(fold.max()) + 1
    parts = np.zeros((count, len(samples)), np.int8)
    for index in range(count):
        if of == ONE_TEST:
            parts[index, fold == index] = SPLITS.index("valid")
            continue
        rest = np.flatnonzero(fold != index)
        parts[index, fold == index] = SPLITS.index("test")
        validates = draw_validation(
            len(rest),
            classes=None if classes is None else classes[rest],
            groups=None if wholes is None else [wholes[row] for row in rest],
        )
        parts[index, rest[validates]] = SPLITS.index("valid")
    division = Division(
        group=name,
        leave_one_out=rule == LEAVE_ONE_OUT,
        parts=parts,
        digest=_digest(names, parts),
        leaks=tuple(_shared(known, name, fold, place)),
        notes=tuple(_notes(parts, samples, located.target, place, "valid" if of == ONE_TEST else "test")),
        names=left_out,
    )
    return division


def samples_of_fold(
    splits: Mapping[str, Samples], place: str, fold: Fold, located: Located
) -> dict[str, Samples]:
    """The parts of a dataset in one fold.

    Args:
        splits: split -> samples, as the dataset states its parts.
        place: the dataset, or the domain of it that is divided.
        fold: which fold of which division.
        located: the dataset.

    Returns:
        Split -> samples.

    Raises:
        DataError: the dataset is divided otherwise than when the job was planned.
    """
    samples = all_samples(splits, place, fold.parts)
    rule = LEAVE_ONE_OUT if fold.leave_one_out else fold.count
    division = divide(samples, rule, fold.group or SINGLE, located, place, fold.parts)
    if division.digest != fold.division:
        raise DataError(
            f"{place}: {fold.rule}: the division is no longer the one that the job was planned with; run again to plan anew"
        )
    part = division.parts[fold.index - 1]
    own = {split: take_rows(samples, np.flatnonzero(part == at)) for at, split in enumerate(SPLITS)}
    if fold.parts == ONE_TEST:
        domain = domain_of(place)
        test = splits["test"]
        own["test"] = take_rows(test, np.flatnonzero(test.domain == domain)) if domain else test
    return own


@dataclass(frozen=True)
class _Grouping:
    """What can lie in one fold as a whole: its general name (group or domain), and the name of each sample's."""

    kind: str
    names: np.ndarray


def _groupings(samples: Samples, located: Located) -> dict[str, _Grouping]:
    """The groupings of a dataset, under the names that it gives them."""
    called: Mapping[str, str] = getattr(located, "group_names", {})
    known: dict[str, _Grouping] = {}
    if samples.group is not None:
        alone = np.array([f"\0{name}" for name in samples.sample_id])  # without a group: in one of its own
        known[called.get("group", "group")] = _Grouping(
            "group", np.where(samples.group == "", alone, samples.group)
        )
    if len(np.unique(samples.domain)) > 1:
        known.setdefault(called.get("domain", "domain"), _Grouping("domain", samples.domain))
    return known


def _chosen(group: str, rule: int | str, known: Mapping[str, _Grouping], place: str) -> str:
    """The name of the grouping that is meant; empty for single samples.

    Args:
        group: as in ``divide``.
        rule: as there.
        known: name -> grouping.
        place: what a message calls the dataset.

    Raises:
        UsageError: there is no such grouping, or none where a group is to be left out.
    """
    kinds = {one.kind: name for name, one in known.items()}
    if group == AUTO and (rule == LEAVE_ONE_OUT or "group" in kinds) and known:
        return next(iter(known))
    if group in (AUTO, SINGLE):
        if rule == LEAVE_ONE_OUT:
            why = "the dataset names none" if group == AUTO else f"--fold-group {SINGLE} names none"
            raise UsageError(
                f"{place}: --folds {LEAVE_ONE_OUT} leaves a group out, and {why}: name one as group or domain in "
                "dataset.yaml, or write a number of folds"
            )
        return ""
    name = group if group in known else kinds.get(group)
    if name is None:
        raise UsageError(
            f"{place} has no group {group!r} to keep in one fold: {nearest(group, [*known, SINGLE])}; "
            f"{SINGLE} divides single samples"
        )
    return name


def _digest(names: list[str], parts: np.ndarray) -> str:
    """What stands for the parts of all samples, whatever their order."""
    lines = sorted(f"{name}\0{' '.join(map(str, parts[:, row]))}" for row, name in enumerate(names))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _shared(known: Mapping[str, _Grouping], name: str, fold: np.ndarray, place: str) -> list[str]:
    """Groups that lie in several folds, where the folds are drawn by something else, in words.

    Args:
        known: name -> grouping.
        name: of the grouping that the folds are drawn by; empty for single samples.
        fold: [samples], the fold of each.
        place: what a message calls the dataset.

    Raises:
        UsageError: a group lies in two folds that are drawn by domain: one of the two is wrong.
    """
    lines = []
    for other, grouping in known.items():
        if other == name or grouping.kind != "group":  # domains may lie in every fold
            continue
        where: dict[str, set[int]] = {}
        for one, at in zip(grouping.names.tolist(), fold.tolist(), strict=True):
            where.setdefault(one, set()).add(at)
        both = sorted(one for one, folds in where.items() if len(folds) > 1)
        if both and name:
            raise UsageError(
                f"{place}: {other} {both[0]!r} lies in two folds by {name}; use --fold-group {other}, or correct one of them"
            )
        if both:
            lie = "lies" if len(both) == 1 else "lie"
            lines.append(f"{len(both)} of {counted(len(where), 'group')} ({other}) {lie} in several folds")
    return lines


def _notes(parts: np.ndarray, samples: Samples, target: Target, place: str, role: str) -> list[str]:
    """Classes that a fold does not train, or does not test or validate, in words.

    Args:
        parts: as ``Division.parts``.
        samples: that were divided.
        target: what is predicted.
        place: what a message calls the dataset.
        role: what the fold does: ``"test"`` or ``"valid"``.

    Raises:
        UsageError: a training part has one class.
    """
    if target.kind != "classification":
        return []
    everywhere = set(samples.target.tolist())
    lacking: dict[str, dict[int, set[int]]] = {"train": {}, role: {}}
    for split, folds in lacking.items():
        for index, part in enumerate(parts, start=1):
            there = set(samples.target[part == SPLITS.index(split)].tolist())
            if split == "train" and len(there) < 2:
                raise UsageError(f"{place}: {_one_class_alone(parts, index, samples, target)}")
            if everywhere - there:
                folds[index] = everywhere - there
    lines: list[str] = []
    held_out = {"test": "has no test sample of", "valid": "has no validation sample of"}[role]
    for split, words in (("train", "never learns"), (role, held_out)):
        if folds := lacking[split]:
            index, missing = next(iter(folds.items()))
            lines.append(
                f"fold {index} of {len(parts)} {words} class {target.classes[min(missing)]}"
                + (
                    f", and {counted(len(folds) - 1, 'more fold lacks', 'more folds lack')} a class there"
                    if len(folds) > 1
                    else ""
                )
            )
    counts = {one: int((samples.target == one).sum()) for one in sorted(everywhere)}
    lines += [
        f"class {target.classes[one]} has {counted(number, 'sample')}, fewer than the {len(parts)} folds: {_FEWER}"
        for one, number in counts.items()
        if number < len(parts)
    ]
    return lines


#: What can be done about a class that is too rare for the folds.
_FEWER = "use fewer folds, merge it with another class, or leave its samples out"
#: Samples that a class needs, one for each part of a fold.
_LEAST = 3


def _one_class_alone(parts: np.ndarray, index: int, samples: Samples, target: Target) -> str:
    """Why a fold would be trained on one class alone, and what can be done, in words.

    Args:
        parts: as ``Division.parts``.
        index: of the fold, from 1.
        samples: that were divided.
        target: what is predicted.
    """
    part = parts[index - 1]
    alone = target.classes[int(samples.target[part == SPLITS.index("train")].min())]
    others = [name for name in np.unique(samples.target).tolist() if target.classes[name] != alone]
    told = []
    for one in others:
        own = part[samples.target == one]
        where = {
            "tested": int((own == SPLITS.index("test")).sum()),
            "validated": int((own == SPLITS.index("valid")).sum()),
        }
        there = " and ".join(f"{number} {word}" for word, number in where.items() if number)
        told.append(f"class {target.classes[one]} has {counted(len(own), 'sample')} ({there} there)")
    rare = f", as {', '.join(told)}" if told else ""
    few = any(int((samples.target == one).sum()) < _LEAST for one in others)
    advice = f"a class needs {_LEAST} samples, to test, to validate and to train: merge it with another class, or leave its samples out"
    return f"fold {index} of {len(parts)} would be trained on one class alone, {alone}{rare}: " + (
        advice if few else "use fewer folds, or another --fold-group"
    )
