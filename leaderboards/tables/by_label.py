"""How well each label, or each class, is found: precision, recall, F1 and areas, label by label, on complete test data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import pandas as pd

from ..labels import CLEAN, REAL, SYNTHETIC
from ..metrics.base import Counts, Mean, Metric, Task, rank_metric, ratio
from ..metrics.classification import predicted_class
from ..metrics.detection import area_of, curve, precision_of
from ..metrics.one_vs_rest import log_odds
from ..stats.bootstrap import FEWER_DRAWS, summary
from ..stats.intervals import interval
from .cells import Cell, Group, cells_of
from .groups import groups_of, scored, sheet_key
from .results import Result, UnusableError, read_outputs
from .score_sheet import Sheet, stored_sheet
from .typed_frame import typed_frame

#: What is measured of each label; an interval is given of the first.
MEASURES = ("f1", "precision", "recall", "average_precision", "auroc", "share")
_KINDS = ("classification", "multi-label")
_NOTE = (
    "label: one of several labels of a sample, or a class. A label is said where its probability is above 1/2, a class where it is "
    "the likeliest. f1, precision and recall of that label alone; average_precision and auroc tell it from all other samples, whatever "
    "the threshold; chance is share (the share of test samples that have it) and 0.5. Means over n seeds; low to high: 95 % over "
    "seeds and samples; sd: of f1 over seeds. A value that is undefined, such as the precision of a label that is never said, is no value."
)
_COLUMNS = {
    **dict.fromkeys(("task", "modalities", "protocol", "data", "method", "label"), "str"),
    **dict.fromkeys(("f1", "f1_low", "f1_high", "sd", *MEASURES[1:]), "float64"),
    "n": "int64",
    "note": "str",
}


def by_label(results: Iterable[Result], draws: int = FEWER_DRAWS, seed: int = 0) -> pd.DataFrame:
    """The scores of each label, or class, of each method.

    Args:
        results: one a job; of regression there is no row.
        draws: number of resamples for intervals.
        seed: of the resampling.

    Returns:
        One row a method and label, in the order of the labels in the data; one with a ``note`` where a method has no values.

    Raises:
        ValueError: no result is of classes or labels.
    """
    groups = [group for group in groups_of(results) if _kind(group) in _KINDS]
    if not groups:
        raise ValueError(
            "no result is of classes or of several labels a sample: there is nothing label by label"
        )
    return typed_frame([row for group in groups for row in _rows(group, draws, seed)], _COLUMNS)


def notes_of_by_label(frame: pd.DataFrame) -> list[str]:
    """What a reader must know beside the table: its columns, and why a method has no values."""
    if frame.empty:
        return []
    lacking: dict[str, list[str]] = {}
    for row in frame.loc[frame["note"] != ""].to_dict("records"):
        lacking.setdefault(row["note"], []).append(row["method"])
    return [_NOTE, *(f"— {', '.join(methods)}: {why}" for why, methods in lacking.items())]


def measures_of(task: Task, labels: int) -> list[Metric]:
    """The measures of every label, label by label, as metrics.

    Args:
        task: ``"classification"`` or ``"multi-label"``.
        labels: their number.
    """
    return [_measure(task, name, place) for place in range(labels) for name in MEASURES]


def _measure(task: Task, name: str, place: int) -> Metric:
    label = f"{name}:{place}"
    if name in ("average_precision", "auroc"):
        of = precision_of if name == "average_precision" else area_of
        return rank_metric(
            label, name, "higher", (0.0, 1.0), "fraction", "", partial(_ranked, task, place, of)
        )
    mean = Mean(task, partial(_terms, place), _FINISHED[name])
    return Metric(label, name, "higher", (0.0, 1.0), "fraction", "", mean)


def _terms(place: int, target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """[N, 3]: whether a sample has the label, whether that is said of it, and both."""
    if target.ndim == 2:
        has, said = target[:, place] > 0, prediction[:, place] > 0
    else:
        has, said = target == place, predicted_class(prediction) == place
    return np.stack([has, said, has & said], axis=1).astype(np.float64)


_FINISHED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "f1": lambda mean: ratio(2 * mean[..., 2], mean[..., 0] + mean[..., 1]),
    "precision": lambda mean: ratio(mean[..., 2], mean[..., 1]),
    "recall": lambda mean: ratio(mean[..., 2], mean[..., 0]),
    "share": lambda mean: mean[..., 0],
}


def _ranked(
    task: Task,
    place: int,
    of: Callable[[tuple[np.ndarray, np.ndarray]], np.ndarray],
    arrays: tuple[np.ndarray, ...],
    counts: Counts,
) -> np.ndarray:
    """[draws]: an area by which the label's logit, or the log odds of the class, tells its samples from others."""
    target, logits = arrays
    has = target[:, place] > 0 if task == "multi-label" else target == place
    score = logits[:, place] if task == "multi-label" else log_odds(logits)[:, place]
    return of(curve(score[has], score[~has], (counts[0][:, has], counts[0][:, ~has])))


def _rows(group: Group, draws: int, seed: int) -> Iterator[dict[str, object]]:
    about: dict[str, object] = {
        "task": group.block.task,
        "modalities": group.block.modalities,
        "protocol": group.block.protocol,
        "data": SYNTHETIC if group.block.synthetic else REAL,
        "method": group.method,
    }
    names = _names(group)
    cell = _cell(group, len(names), draws, seed)
    if cell.scores is None:
        yield {**about, "label": "", "n": cell.done, "note": cell.hole}
        return
    low, high = interval(cell.scores, measures_of(_kind(group), len(names)))
    for place, name in enumerate(names):
        columns = range(place * len(MEASURES), (place + 1) * len(MEASURES))
        values = {
            measure: summary(cell.scores.values[:, column])
            for measure, column in zip(MEASURES, columns, strict=True)
        }
        yield {
            **about,
            "label": name,
            **{measure: over.mean for measure, over in values.items()},
            "f1_low": low[columns[0]],
            "f1_high": high[columns[0]],
            "sd": values["f1"].sd,
            "n": cell.done,
        }


def _cell(group: Group, labels: int, draws: int, seed: int) -> Cell:
    metrics = measures_of(_kind(group), labels)
    key = sheet_key(metrics, draws, seed)

    def read(result: Result) -> Sheet:
        def make() -> Sheet:
            outputs = read_outputs(result, condition=CLEAN)
            if any(one.prediction.ndim != 2 or one.prediction.shape[1] != labels for one in outputs.values()):
                raise UnusableError(f"predictions have no logit for each of {labels} labels")
            return scored(outputs, metrics, draws, seed)

        return stored_sheet(result.cache, "bylabel", key, make)

    return cells_of(group, read, [CLEAN])[CLEAN]


def _names(group: Group) -> tuple[str, ...]:
    """The labels, as the data name them; numbered where a job does not say them."""
    for result in group.results:
        names = result.classes() if result.classes else ()
        if names:
            return names
    for result in group.results:
        if result.state == "done":
            try:
                outputs = read_outputs(result, condition=CLEAN)
            except ValueError:
                continue
            for one in outputs.values():
                count = one.prediction.shape[1] if one.prediction.ndim == 2 else int(one.target.max()) + 1
                return tuple(map(str, range(count)))
    return ("0",)


def _kind(group: Group) -> Task:
    family = group.results[0].family
    return "multi-label" if family == "multi-label" else group.metrics[0].mean.task
