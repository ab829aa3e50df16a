"""Rows of leaderboards from elsewhere that could not be verified: kept apart, shown, never compared.

They lie in the store as ``external/NAME.csv``, in the form of a leaderboard's CSV.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ...leaderboards.labels import CLEAN, KEYS, WITHIN_MARGIN
from ...leaderboards.metrics.families import judges_answers
from ...leaderboards.metrics.registry import METRICS
from ...leaderboards.render import csv_files
from ...leaderboards.render.files import write_parts
from ...leaderboards.tables.accuracy import COLUMNS
from ..core.errors import UsageError
from ..store.names import inside
from ..store.store import Store
from .results import Filter

#: What tells one row from another; two rows alike in these state the same thing.
KEY = ("task", "modalities", "protocol", "data", "method", "draw", "condition", "metric", "seeds", "jobs")
#: The audit column that says whether a row's numbers come from predictions in the store.
VERIFIED = "audit_verified"
_ORIGIN = re.compile(r"\w[\w.-]*")

Row = dict[str, Any]


def origin_name(name: str) -> str:
    """The name of an origin. Raises UsageError for one that is no plain name."""
    if not _ORIGIN.fullmatch(name):
        raise UsageError(f"{name!r} cannot name where results come from: use letters, digits, '-', '_', '.'")
    return name


def key_of(row: Mapping[str, Any]) -> tuple:
    """What a row is known by."""
    return tuple(row[name] for name in KEY)


def read_external_rows(store: Store) -> dict[str, list[Row]]:
    """The rows from elsewhere in a store, by origin.

    Raises:
        UsageError: a file of them cannot be read.
    """
    rows: dict[str, list[Row]] = {}
    for file in sorted((store.path / "external").glob("*.csv")):
        try:
            rows[file.stem] = frame_to_rows(csv_files.read_csv(file))
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(f"{file}: cannot be read ({error}): delete it and merge again") from None
    return rows


def write_external_rows(store: Store, origin: str, rows: list[Row]) -> None:
    """Writes the rows of an origin; without rows there is no file.

    Args:
        store: where to.
        origin: where the rows come from.
        rows: all of them.

    Raises:
        UsageError: the origin is no plain name.
    """
    folder = inside(store.path / "external")
    file = folder / f"{origin_name(origin)}.csv"
    if rows:
        store.add([])  # a store of nothing but these rows is one, too
        frame = rows_to_frame(rows)
        write_parts(file, [csv_files.csv_header(map(str, frame)), csv_files.csv_rows(frame)])
    else:
        file.unlink(missing_ok=True)


def frame_to_rows(frame: pd.DataFrame) -> list[Row]:
    """The rows of a frame, by column."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def rows_to_frame(rows: list[Row]) -> pd.DataFrame:
    """The frame of rows, with the types of ``COLUMNS``; what a row lacks is empty."""
    audits = dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)
    types = {**COLUMNS, **dict.fromkeys(audits, "str")}
    empty = {"str": "", "float64": float("nan"), "int64": 0, "boolean": None}
    return pd.DataFrame(
        {
            name: pd.Series([row.get(name, empty[kind]) for row in rows], dtype=kind)
            for name, kind in types.items()
        }
    )


def accuracy_rows(store: Store, chosen: Filter) -> list[Row]:
    """The rows that the accuracy table shows, marked.

    Args:
        store: with rows from elsewhere, or without.
        chosen: which rows are wanted.

    Returns:
        One row a method, task and metric, whose method says how far it was verified.

    Raises:
        UsageError: as ``read_external_rows``.
    """
    alone = {"best": None, "p_vs_best": float("nan"), "significantly_worse": None, "mark": "unverified"}
    alone[WITHIN_MARGIN] = None
    shown = [
        {**row, **alone, "method": f"{row['method']} [{row[VERIFIED]}]"}
        for rows in read_external_rows(store).values()
        for row in rows
        if row["condition"] == CLEAN and _is_mean(row["metric"]) and _keeps(chosen, row)
    ]
    places = Counter(_place(row) for row in shown)
    for row in shown:  # the same method with other seeds is another row
        if places[_place(row)] > 1:
            row["method"] += f" [seeds {row['seeds']}; {row['jobs'].partition(' ')[0]}]"
    return shown


def _is_mean(metric: str) -> bool:
    """Whether a metric is one of those that the accuracy table shows."""
    return metric in METRICS and judges_answers(metric, METRICS[metric].kind)


def _place(row: Row) -> tuple:
    return tuple(row[name] for name in (*KEYS, "method", "draw", "metric"))


def with_external_rows(own: pd.DataFrame | None, rows: list[Row]) -> pd.DataFrame:
    """The accuracy table with rows from elsewhere, which are not compared with any.

    Args:
        own: the accuracy table of the store; None where it has no job of its own.
        rows: those from elsewhere.

    Returns:
        The rows of both, with a column that says what was verified.
    """
    if own is None:
        return rows_to_frame(rows).drop(columns=_DROP)
    own = own.assign(**{VERIFIED: ["" if hole else "verified" for hole in own["hole"]]})
    return rows_to_frame([*frame_to_rows(own), *rows]).drop(columns=_DROP) if rows else own


_DROP = ["drop", "drop_low", "drop_high"]


def _keeps(chosen: Filter, row: Row) -> bool:
    return (
        (
            not chosen.methods
            or row["method"] in chosen.methods
            or row["method"].partition("(")[0] in chosen.methods
        )
        and (not chosen.tasks or row["task"] in chosen.tasks)
        and (not chosen.seeds or {int(seed) for seed in row["seeds"].split()} <= chosen.seeds)
    )


def default_origin(folder: Path) -> str:
    """The name of the origin of results in a folder, where none is given."""
    return re.sub(r"[^\w.-]+", "-", folder.resolve().name).lstrip(".-") or "elsewhere"
