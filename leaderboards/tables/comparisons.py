"""Tables that compare methods over tasks, and that say how many seeds a comparison needs.

All are made from the tidy frame of ``tables.accuracy``: clean test data, each task's main metric.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd

from ..labels import KEYS, counted
from ..stats.power import MOST, seeds_needed
from ..stats.ranks import ALPHA, DECIMALS, Ranking, rank
from .groups import once_for_each
from .seed_scores import ComparableMethods, Score, fields, scores
from .typed_frame import typed_frame

_OF_RANKS = (
    "average_rank: over tasks (a task is a dataset or shift with a modality set), 1 is the best, ties share "
    "the mean; wins: tasks with the best mean. Only tasks on which every method has a value are used. "
    "friedman_p: that all have the same average rank."
)
_OF_COMPARISONS = (
    "p: Wilcoxon's signed-rank test over tasks, exact, two-sided; p_holm: corrected for all pairs. "
    "Differences are means over seeds, positive where method is better than other. Tasks count as "
    "independent; those that share a dataset are not quite that."
)
_OF_SEEDS = (
    "difference: best minus method by the mean over seeds, positive where best is better, in the metric's "
    "unit; sd: of the differences seed by seed (ddof = 1); seeds_needed: for a paired two-sided t-test at "
    "5 % to find a difference of this size with power 0.8, were it and its sd the true ones."
)

_RANKS = {
    "protocol": "str",
    "data": "str",
    "metric": "str",
    "method": "str",
    "average_rank": "float64",
    "wins": "int64",
    "tasks": "int64",
    "tasks_needed": "int64",
    "friedman_p": "float64",
    "better_than": "str",
    "note": "str",
}
_COMPARISONS = {
    "protocol": "str",
    "data": "str",
    "metric": "str",
    "method": "str",
    "other": "str",
    "tasks": "int64",
    "better": "int64",
    "equal": "int64",
    "worse": "int64",
    "median_difference": "float64",
    "p": "float64",
    "p_holm": "float64",
    "verdict": "str",
}
_SEEDS = {
    **dict.fromkeys(KEYS, "str"),
    "metric": "str",
    "best": "str",
    "method": "str",
    "n": "int64",
    "difference": "float64",
    "sd": "float64",
    "seeds_needed": "Int64",
    "verdict": "str",
}


def ranks(frame: pd.DataFrame) -> pd.DataFrame:
    """Each method's average rank over tasks, best first, and whether the tasks are enough to say more.

    Args:
        frame: what ``tables.accuracy`` gave.

    Returns:
        One row a method of each field (protocol, data, commensurable metrics) that has at least two:
        ``better_than`` names the methods that Wilcoxon and Holm tell apart from it, and ``note`` says what is
        missing.
    """
    rows = []
    for field, ranking in rankings(frame):
        better = ranking.different & (ranking.ranks[:, None] < ranking.ranks[None, :])
        for index in map(int, np.argsort(ranking.ranks, kind="stable")):
            rows.append(
                {
                    **_shared(field),
                    "method": field.methods[index],
                    "average_rank": ranking.ranks[index],
                    "wins": ranking.wins[index],
                    "tasks": ranking.tasks,
                    "tasks_needed": ranking.needed,
                    "friedman_p": ranking.friedman,
                    "better_than": ", ".join(field.methods[other] for other in np.flatnonzero(better[index])),
                    "note": shortage(field, ranking),
                }
            )
    return typed_frame(rows, _RANKS)


def comparisons(frame: pd.DataFrame) -> pd.DataFrame:
    """Every pair of methods over tasks, the better average rank first; otherwise as ``ranks``."""
    rows = []
    for field, ranking in rankings(frame):
        for (a, b), p, p_holm in zip(ranking.pairs, ranking.p, ranking.p_holm, strict=True):
            if ranking.ranks[b] < ranking.ranks[a]:
                a, b = b, a
            d = np.round(field.values[:, a] - field.values[:, b], DECIMALS)
            if not ranking.enough:
                verdict = f"not enough tasks: {ranking.needed} needed"
            else:
                verdict = "better" if p_holm < ALPHA else "not told apart"
            rows.append(
                {
                    **_shared(field),
                    "method": field.methods[a],
                    "other": field.methods[b],
                    "tasks": ranking.tasks,
                    "better": (d > 0).sum(),
                    "equal": (d == 0).sum(),
                    "worse": (d < 0).sum(),
                    "median_difference": np.median(d) if d.size else math.nan,
                    "p": p,
                    "p_holm": p_holm,
                    "verdict": verdict,
                }
            )
    return typed_frame(rows, _COMPARISONS)


def seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """How many seeds it would take to tell each method from the best of its task.

    Args:
        frame: what ``tables.accuracy`` gave.

    Returns:
        One row for each method of a task but its best, where it has a value. ``seeds_needed`` is missing
        where ``verdict`` says why.
    """
    blocks: dict[tuple, list[Score]] = defaultdict(list)
    for item in scores(frame):
        if item.by_seed:
            blocks[(*item.place, item.protocol, item.data, item.metric)].append(item)
    rows = []
    for key, items in blocks.items():
        best = max(items, key=lambda item: item.sign * item.mean)
        for other in sorted(items, key=lambda item: -item.sign * item.mean):
            if other is not best:
                shared = dict(zip((*KEYS, "metric"), key, strict=True))
                rows.append({**shared, "best": best.method, "method": other.method, **_needed(best, other)})
    return typed_frame(rows, _SEEDS)


def shortage(field: ComparableMethods, ranking: Ranking) -> str:
    """What is missing for a comparison over tasks, in words.

    Args:
        field: what is compared, with what was left out.
        ranking: of it.

    Returns:
        Empty where nothing is missing.
    """
    parts = []
    if not ranking.enough:
        parts.append(f"not enough tasks to tell any pair apart: {ranking.tasks}, {ranking.needed} needed")
    if field.left_out:
        shown = [f"{task} ({why})" for task, why in list(field.left_out.items())[:3]]
        more = "; …" if len(field.left_out) > 3 else ""
        parts.append(f"{counted(len(field.left_out), 'task')} left out: {'; '.join(shown)}{more}")
    if field.without:
        parts.append(f"no value at all: {', '.join(field.without)}")
    return "; ".join(parts)


def notes_of_ranks(frame: pd.DataFrame) -> list[str]:
    """What a reader must know beside the table of ranks; what is missing is said once a field."""
    return _notes(frame, _OF_RANKS)


def notes_of_comparisons(frame: pd.DataFrame) -> list[str]:
    """What a reader must know beside the table of pairs."""
    return _notes(frame, _OF_COMPARISONS)


def notes_of_seeds(frame: pd.DataFrame) -> list[str]:
    """What a reader must know beside the table of seeds."""
    return _notes(frame, _OF_SEEDS)


def _notes(frame: pd.DataFrame, convention: str) -> list[str]:
    if frame.empty:
        return ["nothing to compare: no two methods have a value on one task under one protocol"]
    missing = {}
    if "note" in frame:
        for row in frame.loc[frame["note"] != ""].to_dict("records"):
            missing[f"{row['protocol']}; {row['data']}; {row['metric']}: {row['note']}"] = None
    return [convention, *missing]


@once_for_each
def rankings(frame: pd.DataFrame) -> list[tuple[ComparableMethods, Ranking]]:
    """The fields of a frame that have at least two methods, and the ranking of each."""
    return [(field, rank(field.values)) for field in fields(frame) if len(field.methods) > 1]


def _shared(field: ComparableMethods) -> dict[str, object]:
    return {"protocol": field.protocol, "data": field.data, "metric": field.metric}


def _needed(best: Score, other: Score) -> dict[str, object]:
    """The columns that compare a method with the best."""
    out: dict[str, Any] = {
        "n": 0,
        "difference": best.sign * (best.mean - other.mean),
        "sd": math.nan,
        "seeds_needed": None,
    }
    if best.by_seed.keys() != other.by_seed.keys():
        return {**out, "verdict": "other seeds than the best: run the same seeds"}
    d = np.round([best.sign * (v - other.by_seed[seed]) for seed, v in best.by_seed.items()], DECIMALS)
    out |= {"n": len(d), "difference": round(float(d.mean()), DECIMALS)}
    if len(d) < 2:
        return {**out, "verdict": "one seed has no spread: run at least two"}
    out["sd"] = float(d.std(ddof=1)) if np.ptp(d) else 0.0
    if not out["difference"]:
        return {**out, "verdict": "no difference was seen"}
    if not out["sd"] and not any(np.ptp(list(one.by_seed.values())) for one in (best, other)):
        return {**out, "verdict": "both answer alike in every seed: no further seed tells more"}
    if not out["sd"]:
        return {**out, "verdict": f"the {len(d)} seeds show no spread: run more to see it"}
    needed = seeds_needed(out["difference"], out["sd"])
    if needed is None:
        return {**out, "verdict": f"more than {MOST} seeds"}
    enough = f"{len(d)} are enough" if len(d) >= needed else f"{needed - len(d)} more"
    return {**out, "seeds_needed": needed, "verdict": enough}
