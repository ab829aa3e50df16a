"""Cross-validation in two ways: the mean over folds, and one score of the predictions of all folds together.

A metric that is a mean over samples, such as accuracy, is nearly the same in both. One that is not, such as AUROC or F1,
differs: pooled, it also ranks samples of one fold against those of another, which were answered by another network, and it
exists where a fold lacks a class. Neither is the true one; they are shown beside each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from ..labels import CLEAN, REAL, SYNTHETIC
from ..stats.bootstrap import DRAWS, Resampled
from ..stats.intervals import interval
from .cells import Cell, Group
from .groups import groups_of, score
from .results import Result
from .typed_frame import typed_frame

_OF_FOLDS = (
    "mean, sd (ddof = 1), worst: over folds, each a mean over its seeds; worst_left_out: the group that the worst fold is, "
    "where every group is one; low to high: 95 %, Student's t with the variance "
    "(1/k + 1/(k - 1)) s² of Nadeau and Bengio (2003). out_of_fold: of the predictions for all samples, each by the network "
    "that did not learn from it; its 95 % interval is over samples (and seeds, where there are several) and takes the "
    "networks as given. Where folds validate and all are tested on the same samples (--fold-parts train+valid/test), mean to "
    "high are of these, and out_of_fold is of the samples that validate, by which the epoch was chosen, too."
)
_COLUMNS = {
    **dict.fromkeys(("task", "modalities", "protocol", "data", "method", "metric"), "str"),
    **dict.fromkeys(("folds", "seeds"), "int64"),
    **dict.fromkeys(("mean", "sd", "low", "high", "worst"), "float64"),
    "worst_fold": "Int64",
    "worst_left_out": "str",
    **dict.fromkeys(("out_of_fold", "out_of_fold_low", "out_of_fold_high"), "float64"),
    "note": "str",
}


def folds(results: Iterable[Result], draws: int = DRAWS, seed: int = 0) -> pd.DataFrame:
    """What cross-validation found on complete test data, for each method and metric.

    Args:
        results: one a job; those without folds are left out.
        draws: number of resamples of the samples.
        seed: of the resampling.

    Returns:
        One row a method and metric, in the metric's unit. ``mean`` to ``worst`` are over folds and missing where a fold
        has no value, which ``note`` explains; ``out_of_fold`` is of all samples together.

    Raises:
        ValueError: no result is of cross-validation.
    """
    groups = [group for group in groups_of(results) if group.folds]
    if not groups:
        raise ValueError("no job is a fold of cross-validation: run with --folds 5")
    rows = [row for group in groups for row in _rows(group, draws, seed)]
    return typed_frame(rows, _COLUMNS)


def notes_of_folds(frame: pd.DataFrame) -> list[str]:
    """What a reader must know beside the table: what its columns are, and why a number is missing."""
    if frame.empty:
        return []
    missing: dict[tuple[str, str], list[str]] = {}
    for row in frame.loc[frame["note"] != ""].to_dict("records"):
        missing.setdefault((f"{row['method']} on {row['task']}", row["note"]), []).append(row["metric"])
    lines = [f"— {where} ({', '.join(metrics)}): {why}" for (where, why), metrics in missing.items()]
    return [_OF_FOLDS, *lines]


def out_of_fold(group: Group) -> Group:
    """A group of cross-validation as one that was tested on all samples.

    Args:
        group: whose folds are all done.

    Returns:
        A group with one result a seed, whose predictions are those of all its folds.
    """
    seeds: dict[int, list[Result]] = {}
    for result in group.results:
        seeds.setdefault(result.seed, []).append(result)
    whole = tuple(
        replace(
            members[0],
            fold=0,
            folds=0,
            held_out_test=False,
            cache=None,
            predictions=partial(_predictions, members),
        )
        for members in seeds.values()
    )
    return replace(group, results=whole)


def _predictions(members: Sequence[Result]) -> pd.DataFrame:
    """The clean rows of the prediction tables of all folds of a seed for the samples of the fold."""
    tables = []
    own = "valid" if members[0].held_out_test else "test"
    for result in members:
        assert result.predictions is not None  # it is done
        table = result.predictions()
        tables.append(table.loc[(table["split"] == own) & (table["condition"] == CLEAN)])
    return pd.concat(tables, ignore_index=True).assign(split="test")


def _rows(group: Group, draws: int, seed: int) -> Iterable[dict[str, object]]:
    """The rows of a group, one a metric."""
    cell = score(group, "clean", CLEAN.__eq__, draws, seed)[CLEAN]
    pooled = Cell(cell.hole, 0)
    if not cell.hole:
        pooled = score(out_of_fold(group), "out_of_fold", CLEAN.__eq__, draws, seed)[CLEAN]
    over_folds, over_samples = (_ends(one, group) for one in (cell, pooled))
    shared = {
        "task": group.block.task,
        "modalities": group.block.modalities,
        "protocol": group.block.protocol,
        "data": SYNTHETIC if group.block.synthetic else REAL,
        "method": group.method,
        "folds": group.folds,
        "seeds": len(set(group.seeds)),
    }
    for place, metric in enumerate(group.metrics):
        own = np.full(group.folds, np.nan) if cell.scores is None else cell.scores.by_fold[:, place]
        lacking = [str(fold) for fold in np.flatnonzero(~np.isfinite(own)) + 1]
        worst = int(np.argmin(own) if metric.direction == "higher" else np.argmax(own))
        whole = not lacking
        yield {
            **shared,
            "metric": metric.name,
            "mean": own.mean(),
            "sd": own.std(ddof=1),
            "low": over_folds[0][place],
            "high": over_folds[1][place],
            "worst": own[worst],
            "worst_fold": worst + 1 if whole else None,
            "worst_left_out": group.results[worst].left_out if whole else "",
            "out_of_fold": np.nan if pooled.scores is None else pooled.scores.values[:, place].mean(),
            "out_of_fold_low": over_samples[0][place],
            "out_of_fold_high": over_samples[1][place],
            "note": cell.hole
            or ("" if whole else f"undefined in fold {', '.join(lacking)}: {metric.undefined}"),
        }


def _ends(cell: Cell, group: Group) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends of the intervals of a cell, [metrics] each."""
    scores: Resampled | None = cell.scores
    if scores is None:
        nothing = np.full(len(group.metrics), np.nan)
        return nothing, nothing
    return interval(scores, group.metrics)
