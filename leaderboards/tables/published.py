"""Published numbers beside ours: what others state for a method on a dataset, with all that one must know to compare.

Numbers are data (``leaderboards/published/*.csv``). No row says whether a result was reproduced: a published number has
its own seeds, rule of selection and features, and all stand beside ours.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from ..labels import AVERAGE, CLEAN, MISSING
from ..published.numbers import Number, base_name, condition_key, numbers, numbers_for
from .accuracy import accuracy, missing
from .results import Result, missing_patterns
from .robustness import robustness
from .typed_frame import typed_frame

_NOTE = (
    "difference: ours minus published, in the metric's unit (fractions, not percent). low to high: 95 % interval of ours. "
    "status: published = read where it was published; reprinted = read in another publication; not verified = transcribed "
    "by others or from memory, check before citing; our reading = no published number, but what others' weights or "
    "formulas gave where they were run."
)
_COLUMNS = {
    **dict.fromkeys(("task", "modalities", "protocol", "data", "method", "condition", "metric"), "str"),
    **dict.fromkeys(("ours", "ours_low", "ours_high", "sd"), "float64"),
    "n": "int64",
    **dict.fromkeys(("published", "published_sd"), "float64"),
    "published_seeds": "Int64",
    "difference": "float64",
    **dict.fromkeys(("status", "selected_by", "published_selected_by"), "str"),
    **dict.fromkeys(("features", "published_features", "source", "note"), "str"),
}


def published(results: Iterable[Result]) -> pd.DataFrame:
    """Each method's mean beside what was published for it.

    A published number stands beside the rows of its task with as many modalities, whatever their protocol. Methods that
    were published for the task and are not in the store have rows without a value of ours, so that the frame is the
    whole published table.

    Args:
        results: one a job, whatever its state.

    Returns:
        One row a method, condition, metric and published number: ``ours`` is the mean over ``n`` seeds with its 95 %
        interval, ``difference`` is ours minus published. ``note`` says why a value lacks.

    Raises:
        ValueError: no results, or a file of published numbers is not as it should be.
    """
    results = list(results)
    frame = _ours(results)
    rows: list[dict[str, Any]] = []
    for task, modalities in dict.fromkeys(zip(frame["task"], frame["modalities"], strict=True)):
        block = frame.loc[(frame["task"] == task) & (frame["modalities"] == modalities)]
        known = numbers_for(task, modalities)
        rows += _rows(block, known)
        rows += _not_run(block, known)
    return typed_frame(rows, _COLUMNS)


def has_published(results: Sequence[Result]) -> bool:
    """Whether something was published for a method and task of these results."""
    pairs = {(one.task, one.modalities, base_name(one.method)) for one in results}
    return any(
        base == number.method
        for task, modalities, base in pairs
        for number in numbers_for(task, modalities)
        if number.condition == CLEAN
    )


def notes_of_published(frame: pd.DataFrame) -> list[str]:
    """What a reader must know beside the table: its columns, and where its numbers stand."""
    if frame.empty:
        return []
    sources = dict.fromkeys(source for source in frame["source"] if source)
    lacking: dict[str, list[str]] = {}
    for row in frame.loc[frame["note"] != ""].to_dict("records"):
        lacking.setdefault(row["note"], []).append(row["method"])
    holes = [f"— {', '.join(dict.fromkeys(methods))}: {why}" for why, methods in lacking.items()]
    return [_NOTE, *(f"source: {source}" for source in sources), *holes]


def _ours(results: Sequence[Result]) -> pd.DataFrame:
    """Our scores under every condition for which a number was published."""
    frames = [accuracy(results)]
    places = {(one.task, one.modalities) for one in results}
    wanted = {number.condition for place in places for number in numbers_for(*place)} - {CLEAN}
    patterns = {name for name in wanted if name.startswith(MISSING) or name == AVERAGE}
    if patterns and any(missing_patterns(one.modalities) for one in results):
        frames.append(_under(missing(results), patterns))
    if wanted - patterns and any(one.damaged for one in results):
        frames.append(_under(robustness(results), wanted - patterns))
    return pd.concat([frame for frame in frames if not frame.empty], ignore_index=True)


def _under(frame: pd.DataFrame, conditions: set[str]) -> pd.DataFrame:
    keys = {condition_key(name) for name in conditions}
    return frame.loc[[condition_key(name) in keys for name in frame["condition"]]]


def _rows(block: pd.DataFrame, known: Sequence[Number]) -> Iterator[dict[str, Any]]:
    """Our rows of a task with the numbers beside them; of a method without any, its first metric and the reason."""
    by_key: dict[tuple, list[Number]] = defaultdict(list)
    for number in known:
        by_key[_key(number.method, number.condition, number.metric)].append(number)
    for _, group in block.groupby(["protocol", "data", "method", "draw"], sort=False):
        own = group.to_dict("records")
        pairs = [
            (row, number)
            for row in own
            for number in by_key[_key(base_name(row["method"]), row["condition"], row["metric"])]
        ]
        yield from (_row(row, number, row["hole"]) for row, number in pairs)
        if not pairs:
            first = own[0]
            yield _row(first, None, _why_none(first["method"], first["task"], first["modalities"]))


def _why_none(method: str, task: str, modalities: str) -> str:
    """Why no number stands beside a method: nothing is known for the task, or not for what was run.

    Args:
        method: its label.
        task: such as ``"mosi"``.
        modalities: joined by ``+``.
    """
    known = [one for one in numbers() if (one.dataset, one.method) == (task, base_name(method))]
    if not known:
        return f"no published number for it on {task}"
    count = modalities.count("+") + 1
    others = sorted({one.modalities for one in known} - {0, count})
    if all(one.modalities in others for one in known):
        return f"published on {task} with {' or '.join(map(str, others))} modalities, and not with {count}"
    return f"published on {task} by other metrics or under other conditions than it was tested"


def _not_run(block: pd.DataFrame, known: Sequence[Number]) -> Iterator[dict[str, Any]]:
    """The numbers of methods that have no row on a task, where others are judged by the same metric and condition."""
    there = {base_name(method) for method in block["method"]}
    judged = {
        (condition_key(condition), metric)
        for condition, metric in zip(block["condition"], block["metric"], strict=True)
    }
    first = block.iloc[0]
    for number in known:
        if number.method not in there and (condition_key(number.condition), number.metric) in judged:
            row = {name: first[name] for name in ("task", "modalities", "data")}
            row |= {"method": number.method, "condition": number.condition, "metric": number.metric}
            yield _row(row, number, "published for this task, and not in the store")


def _key(method: str, condition: str, metric: str) -> tuple:
    return method, condition_key(condition), metric


def _row(row: dict[str, Any], number: Number | None, note: str) -> dict[str, Any]:
    """One row of the frame.

    Args:
        row: of a tidy frame of ours; of a method that was not run only what names it.
        number: the published one; None where there is none.
        note: why a value lacks; empty where none does.
    """
    ours = row.get("mean", math.nan)
    out = {
        **{name: row.get(name, "") for name in ("task", "modalities", "protocol", "data", "method")},
        "condition": row["condition"],
        "metric": row["metric"],
        "ours": ours,
        "ours_low": row.get("low", math.nan),
        "ours_high": row.get("high", math.nan),
        "sd": row.get("sd", math.nan),
        "n": row.get("n", 0),
        "selected_by": row.get("audit_selected_by", ""),
        "features": row.get("audit_features", ""),
        "note": note,
    }
    if number is None:
        nothing = dict.fromkeys(("status", "published_selected_by", "published_features", "source"), "")
        numeric = dict.fromkeys(("published", "published_sd", "difference"), math.nan)
        return {**out, **numeric, **nothing, "published_seeds": None}
    return {
        **out,
        "published": number.value,
        "published_sd": math.nan if number.sd is None else number.sd,
        "published_seeds": number.seeds,
        "difference": ours - number.value,
        "status": number.tag,
        "published_selected_by": number.selection,
        "published_features": number.features,
        "source": number.source,
    }
