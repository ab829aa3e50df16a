"""What each modality is worth to a network: beside networks of one modality, alone inside it, and by Shapley value.

All is made of what jobs store: clean predictions, every pattern of missing modalities, and jobs on single modalities of the
same task (``--modalities all,text,audio``); and, where ``--contribution`` asked for them, of the outputs of linear probes and
of the gradient norms that the record of the training holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
from scipy.special import expit, log_softmax, logit

from ..labels import CLEAN, MISSING, REAL, SYNTHETIC
from ..metrics.base import Metric, task_of
from ..stats.bootstrap import FEWER_DRAWS, summary
from ..stats.intervals import interval
from .cells import Cell, Group, cells_of
from .encoder_cells import RATIO, gradient_cells, probe_cells
from .groups import OF_CLEAN, as_read, groups_of, led, score, scored, sheet_key
from .results import Outputs, Result, UnusableError, missing_patterns, read_outputs
from .robustness import WeightedMean, weighted
from .score_sheet import Sheet, stored_sheet
from .typed_frame import typed_frame

#: The condition in which a network is given nothing, and answers what is the same for every sample.
NOTHING = "nothing"
#: Whose single-modality networks stand beside a method that has none of its own.
BASELINE = "erm"
_NOTE = (
    "joint: the network of all modalities. alone_in_joint: the same network with all other modalities missing. "
    "trained_alone: a network of one modality, of the method itself or of erm (column network); best_trained_alone is the "
    "best of these by its mean on the test data, an upper bound. ensemble_of_trained_alone: mean of their probabilities or "
    "scores. shapley: mean gain of the main metric when the modality joins, over all orders in which modalities join, by the "
    "network under missing modalities (Shapley 1953); they add up to joint minus a constant answer (the most frequent class "
    "or label, the median score of the test targets). low to high: 95 % over seeds and samples."
)
#: Of quantities that are there where they were asked for.
_MORE_NOTES = {
    "linear_probe": "linear_probe: a linear map from the embedding that the joint network makes of one modality, on complete "
    "samples, fitted on the source training split; its penalty is chosen by source validation (Alain and Bengio 2016).",
    "gradient_ratio": "gradient_ratio: the gradient norm of the modality's encoder, its mean over the steps up to the end of the "
    "tested epoch, over the mean of those of the other encoders; above 1, the optimiser is given more for it than for them. As the "
    "optimiser reads them, before they are clipped by their norm. Encoders of more parameters tend to larger norms. sd: over seeds; it "
    "has no interval.",
}
_COLUMNS = {
    **dict.fromkeys(
        ("task", "modalities", "protocol", "data", "method", "quantity", "modality", "metric"), "str"
    ),
    **dict.fromkeys(("mean", "mean_low", "mean_high", "sd"), "float64"),
    "n": "int64",
    "network": "str",
    "note": "str",
}


@dataclass(frozen=True)
class Quantity:
    """A number of the table: what it is, of which modality (empty: of all), by whose network, its scores, and its name where
    it is no metric of the task."""

    name: str
    modality: str
    network: str
    cell: Cell
    metric: str = ""


def contribution(results: Iterable[Result], draws: int = FEWER_DRAWS, seed: int = 0) -> pd.DataFrame:
    """What each modality contributes, for each method with several modalities, by the main metric.

    Args:
        results: one a job; those on single modalities of the same task, protocol and data stand beside the others.
        draws: number of resamples for intervals.
        seed: of the resampling.

    Returns:
        One row a method and quantity; ``note`` says why one has no value.

    Raises:
        ValueError: no result has more than one modality.
    """
    groups = [
        replace(as_read(group, OF_CLEAN), metrics=group.metrics[:1]) for group in led(groups_of(results))
    ]
    joint = [group for group in groups if missing_patterns(group.block.modalities)]
    if not joint:
        raise ValueError("no result has more than one modality: nothing can contribute")
    alone = {(group.block, group.method, group.draw): group for group in groups if group not in joint}
    rows = [row for group in joint for row in _rows(group, alone, draws, seed)]
    return typed_frame(rows, _COLUMNS)


def notes_of_contribution(frame: pd.DataFrame) -> list[str]:
    """What a reader must know beside the table: what its quantities are, and why one is missing."""
    if frame.empty:
        return []
    missing: dict[str, list[str]] = {}
    for row in frame.loc[frame["note"] != ""].to_dict("records"):
        missing.setdefault(row["note"], []).append(f"{row['method']} {row['quantity']}")
    more = [note for name, note in _MORE_NOTES.items() if name in set(frame["quantity"])]
    return [_NOTE, *more, *(f"— {', '.join(dict.fromkeys(where))}: {why}" for why, where in missing.items())]


def shapley_weights(modalities: Sequence[str]) -> dict[str, dict[str, float]]:
    """The Shapley value of each modality as weighted scores under patterns.

    Args:
        modalities: two or more.

    Returns:
        Modality -> condition -> weight; conditions are those of missing modalities, ``clean`` and ``NOTHING``. A gain
        v(S + m) - v(S) weighs |S|! (M - |S| - 1)! / M!.
    """
    count = len(modalities)
    out = {}
    for modality in modalities:
        others = [name for name in modalities if name != modality]
        weights: dict[str, float] = {}
        for size in range(count):
            share = 1 / (count * comb(count - 1, size))
            for there in combinations(others, size):
                weights[_pattern(modalities, {*there, modality})] = share
                weights[_pattern(modalities, set(there))] = -share
        out[modality] = weights
    return out


def _pattern(modalities: Sequence[str], there: set[str]) -> str:
    """The condition in which only some modalities are there."""
    gone = [name for name in modalities if name not in there]
    if len(gone) == len(modalities):
        return NOTHING
    return MISSING + "+".join(gone) if gone else CLEAN


def _rows(group: Group, alone: Mapping[tuple, Group], draws: int, seed: int) -> Iterator[dict[str, object]]:
    metric = group.metrics[0]
    for quantity in _quantities(group, alone, draws, seed):
        cell = quantity.cell
        values = [math.nan] if cell.scores is None else cell.scores.values[:, 0].tolist()
        over = summary(values)
        bare = cell.scores is None or quantity.metric == RATIO
        low, high = (np.full(1, math.nan),) * 2 if bare else _ends(quantity.name, cell, metric)
        known = math.isfinite(over.mean)
        yield {
            "task": group.block.task,
            "modalities": group.block.modalities,
            "protocol": group.block.protocol,
            "data": SYNTHETIC if group.block.synthetic else REAL,
            "method": group.method,
            "quantity": quantity.name,
            "modality": quantity.modality,
            "metric": quantity.metric or metric.name,
            "mean": over.mean,
            "mean_low": low[0],
            "mean_high": high[0],
            "sd": over.sd if known else math.nan,
            "n": cell.done,
            "network": quantity.network,
            "note": cell.hole or ("" if known else metric.undefined),
        }


def _ends(name: str, cell: Cell, metric: Metric) -> tuple[np.ndarray, np.ndarray]:
    """Ends of an interval; a Shapley value is a difference, and not kept inside the metric's range."""
    assert cell.scores is not None
    return interval(cell.scores, None if name == "shapley" else [metric])


def _quantities(group: Group, alone: Mapping[tuple, Group], draws: int, seed: int) -> Iterator[Quantity]:
    names = group.block.modalities.split("+")
    inside = _inside(group, draws, seed)
    yield Quantity("joint", "", group.method, inside[CLEAN])
    singles = {name: _single(group, name, alone) for name in names}
    trained = {
        name: Cell(f"no network of {name} alone: run with --modalities {name}", 0)
        if one is None
        else score(one, "clean", CLEAN.__eq__, draws, seed)[CLEAN]
        for name, one in singles.items()
    }
    networks = {name: "" if one is None else one.method for name, one in singles.items()}
    yield _best(trained, networks, group.metrics[0])
    whole = {name: one for name, one in singles.items() if one is not None}
    yield _ensemble(group, whole, names, draws, seed)
    for name in names:
        yield Quantity("trained_alone", name, networks[name], trained[name])
    for name in names:
        yield Quantity("alone_in_joint", name, group.method, inside[_pattern(names, {name})])
    wanted = [WeightedMean(name, weights) for name, weights in shapley_weights(names).items()]
    for name, cell in weighted(wanted, inside).items():
        yield Quantity("shapley", name, group.method, cell)
    for name, cell in probe_cells(group, names, draws, seed).items():
        yield Quantity("linear_probe", name, group.method, cell)
    for name, cell in gradient_cells(group, names).items():
        yield Quantity("gradient_ratio", name, group.method, cell, RATIO)


def _single(group: Group, modality: str, alone: Mapping[tuple, Group]) -> Group | None:
    """The networks of one modality beside a group: the method's own, else those of the baseline; None without any."""
    block = group.block._replace(modalities=modality)
    own = alone.get((block, group.method, group.draw))
    return own or alone.get((block, BASELINE, group.draw))


def _best(trained: Mapping[str, Cell], networks: Mapping[str, str], metric: Metric) -> Quantity:
    """The best network of one modality, where each modality has one."""
    holes = dict.fromkeys(cell.hole for cell in trained.values() if cell.hole)
    if holes:
        return Quantity("best_trained_alone", "", "", Cell("; ".join(holes), 0))
    sign = 1 if metric.direction == "higher" else -1
    means = {
        name: sign * cell.scores.values[:, 0].mean()
        for name, cell in trained.items()
        if cell.scores is not None
    }
    best = max(means, key=lambda name: means[name])
    return Quantity("best_trained_alone", best, networks[best], trained[best])


def _inside(group: Group, draws: int, seed: int) -> dict[str, Cell]:
    """The cells of a network on clean data, under every pattern, and given nothing."""
    patterns = [CLEAN, *missing_patterns(group.block.modalities), NOTHING]
    key = sheet_key(group.metrics, draws, seed)

    def read(result: Result) -> Sheet:
        def make() -> Sheet:
            outputs = {name: one for name, one in read_outputs(result).items() if name in patterns}
            if CLEAN in outputs:
                outputs[NOTHING] = _constant(outputs[CLEAN], group.metrics)
            return scored(outputs, group.metrics, draws, seed)

        return stored_sheet(result.cache, "contribution", key, make)

    return cells_of(group, read, patterns)


def _constant(outputs: Outputs, metrics: Sequence[Metric]) -> Outputs:
    """A constant answer for the same samples: the most frequent class or the labels of the majority, or the median."""
    target, count = outputs.target, len(outputs.target)
    if task_of(metrics) == "regression":
        return replace(outputs, prediction=np.full(count, np.median(target)), confidence={}, diagnostics={})
    width = outputs.prediction.shape[1]
    if target.ndim == 2:
        answer = np.where(target.mean(axis=0) > 0.5, 1.0, -1.0)
    else:
        answer = np.eye(width)[np.bincount(target.astype(np.int64), minlength=width).argmax()]
    return replace(outputs, prediction=np.tile(answer, (count, 1)), confidence={}, diagnostics={})


def _ensemble(
    group: Group, singles: Mapping[str, Group], names: Sequence[str], draws: int, seed: int
) -> Quantity:
    """The ensemble of the networks of single modalities, network by network of the same seed and fold."""
    name = "ensemble_of_trained_alone"
    lacking = [modality for modality in names if modality not in singles]
    if lacking:
        reason = f"no network of {', '.join(lacking)} alone: run with --modalities {','.join(lacking)}"
        return Quantity(name, "", "", Cell(reason, 0))
    members = [
        {(result.seed, result.fold): result for result in singles[modality].results} for modality in names
    ]
    if any(one.keys() != members[0].keys() for one in members):
        reason = "networks of single modalities have other seeds than each other: run the same seeds"
        return Quantity(name, "", "", Cell(reason, 0))
    together = replace(singles[names[0]], results=tuple(members[0].values()))

    def read(result: Result) -> Sheet:
        parts = [one[result.seed, result.fold] for one in members]
        undone = [one for one in parts if one.state != "done"]
        if undone:
            raise UnusableError(f"the network of {undone[0].modalities} alone is {undone[0].state}")
        outputs = [read_outputs(one, condition=CLEAN)[CLEAN] for one in parts]
        return scored({CLEAN: _averaged(outputs, group.metrics)}, group.metrics, draws, seed)

    networks = " / ".join(dict.fromkeys(singles[modality].method for modality in names))
    return Quantity(name, "", networks, cells_of(together, read, [CLEAN])[CLEAN])


def _averaged(parts: Sequence[Outputs], metrics: Sequence[Metric]) -> Outputs:
    """The mean answer of networks: of scores, or of the probabilities of classes or labels, given as logits.

    Raises:
        UnusableError: they were tested on different samples.
    """
    if any(one.of != parts[0].of for one in parts):
        raise UnusableError("the networks of single modalities were tested on different samples")
    answers = np.stack([one.prediction for one in parts]).astype(np.float64)
    if task_of(metrics) == "regression":
        mean = answers.mean(axis=0)
    elif parts[0].target.ndim == 2:
        mean = logit(expit(answers).mean(axis=0))
    else:
        mean = np.logaddexp.reduce(log_softmax(answers, axis=-1), axis=0) - math.log(len(parts))
    return Outputs(parts[0].sample_id, parts[0].target, mean, of=parts[0].of)
