"""What a method costs, and what a reader must know of each row: the tables ``cost`` and ``audit``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..labels import CLEAN, FINGERPRINTS, LEAKS, NO_LEAKS, REAL, SYNTHETIC, WARNINGS, WITHIN_MARGIN, count_of
from ..stats.bootstrap import summary
from .accuracy import COLUMNS, audit_columns, fold_column, task_label
from .cells import Group
from .groups import groups_of
from .results import Result
from .typed_frame import typed_frame
from .validation import validation_warning

_NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Quantity:
    """A cost.

    Attributes:
        name: what it is called in a job's record.
        convention: what it is, with its unit.
        absent: why a job has none.
    """

    name: str
    convention: str
    absent: str = _NOT_RECORDED


_NOT_MEASURED = f"{_NOT_RECORDED}: it is measured when a network is trained with --measure"


QUANTITIES = (
    Quantity("parameters", "trained numbers of the network"),
    Quantity(
        "trained_share",
        "trained numbers, as a share of all",
        f"{_NOT_RECORDED}: it is of networks on a model that is named by its hash",
    ),
    Quantity("seconds_fit", "wall-clock seconds of training, all epochs"),
    Quantity("seconds_predict", "wall-clock seconds of predicting clean and with modalities missing"),
    Quantity(
        "flops_per_sample",
        "floating-point operations of a prediction for one sample with all its steps: products of matrices, "
        "convolutions, attention",
        _NOT_MEASURED,
    ),
    Quantity(
        "latency_seconds",
        "wall-clock seconds of a prediction for one sample alone, the median of 30; it depends on the machine and on what "
        "else ran there",
        _NOT_MEASURED,
    ),
    Quantity(
        "energy_cpu_joules",
        "joules of all processors and their memory while it was trained and predicted (RAPL); what else ran on "
        "the machine is in it",
    ),
    Quantity(
        "energy_gpu_joules",
        "joules of its GPU while it was trained and predicted (NVML); what else ran on that GPU is in it",
    ),
    Quantity("peak_process_memory_gib", "largest resident memory of the worker process, GiB, data included"),
    Quantity("peak_gpu_memory_gib", "largest memory that torch held on the GPU, GiB; 0 on a CPU"),
)


def cost(results: Iterable[Result]) -> pd.DataFrame:
    """Seconds, memory and size: mean and standard deviation over seeds, in the form of ``tables.accuracy``.

    Seconds depend on the machine and on what ran beside; rows are not compared by tests.

    Args:
        results: one a job.

    Returns:
        A frame without comparison columns.
    """
    results = list(results)
    measured = {name for result in results for name in result.cost}
    # Of what only some jobs record there is a row only where one has it: other stores keep their tables.
    shown = [one for one in QUANTITIES if one.absent == _NOT_RECORDED or one.name in measured]
    rows = [row for group in groups_of(results) for row in _rows(group, shown)]
    names = [name for name in COLUMNS if not name.startswith("drop")]
    audits = list(dict.fromkeys(name for row in rows for name in row if name not in COLUMNS))
    types = {**{name: COLUMNS[name] for name in names}, **dict.fromkeys(audits, "str")}
    return typed_frame(rows, types)


def audit(results: Iterable[Result]) -> pd.DataFrame:
    """One row a group, all as text: what was trained, on what, selected by what, and what it had seen.

    A column ``warnings`` is there where something was found that makes a row doubtful.
    """
    rows = []
    for group in groups_of(results):
        done = sum(result.state == "done" for result in group.results)
        rows.append(
            {
                "task": group.block.task,
                "modalities": group.block.modalities,
                "protocol": group.block.protocol,
                "data": SYNTHETIC if group.block.synthetic else REAL,
                "method": group.method,
                "n": count_of(
                    done, len(group.results) + len(group.absent), group.folds, len(set(group.seeds))
                ),
                "seeds": " ".join(map(str, dict.fromkeys(group.seeds))),
                **{
                    name.removeprefix("audit_"): value
                    for name, value in audit_columns(group).items()
                    if name != f"audit_{FINGERPRINTS}"
                },
                **_warnings(group),
            }
        )
    return pd.DataFrame(rows).fillna("").astype("str")


def _warnings(group: Group) -> dict[str, str]:
    """What makes a row doubtful, as a column; none where nothing does."""
    leaks = dict.fromkeys(result.audit.get(LEAKS, NO_LEAKS) for result in group.results)
    found = [*(text for text in leaks if text != NO_LEAKS), validation_warning(group)]
    text = ". ".join(filter(None, found))
    return {WARNINGS: text} if text else {}


def notes_of_audit(frame: pd.DataFrame) -> list[str]:
    """One line for each warning, with the rows that it is of."""
    if WARNINGS not in frame:
        return []
    rows: dict[tuple[str, str], list[str]] = {}
    for row in frame.loc[frame[WARNINGS] != ""].to_dict("records"):
        rows.setdefault((row["task"], row[WARNINGS]), []).append(f"{row['method']} of {row['modalities']}")
    tasks: dict[
        tuple[str, str], list[str]
    ] = {}  # what is said of a dataset is said once for all of its shifts
    for (task, text), own in rows.items():
        tasks.setdefault((text, ", ".join(own)), []).append(task_label(task))
    return [f"warning: {text} ({'; '.join(names)}: {own})" for (text, own), names in tasks.items()]


def _rows(group: Group, shown: Sequence[Quantity]) -> list[dict[str, object]]:
    """The rows of a group, one for each quantity that is shown."""
    done = [result for result in group.results if result.state == "done"]
    complete = len(done) == len(group.results)
    shared: dict[str, object] = {
        "task": group.block.task,
        "modalities": group.block.modalities,
        "protocol": group.block.protocol,
        "data": SYNTHETIC if group.block.synthetic else REAL,
        "method": group.method,
        "draw": group.draw,
        "condition": CLEAN,
        "direction": "lower",
        "n": len(done),
        "n_planned": len(group.results) + len(group.absent),
        "low": np.nan,
        "high": np.nan,
        "samples": 0,
        "best": None,
        "p_vs_best": np.nan,
        "significantly_worse": None,
        WITHIN_MARGIN: None,
        "seeds": " ".join(map(str, group.seeds)),
        "jobs": " ".join(result.job for result in group.results),
        **fold_column(group),
        **audit_columns(group),
    }
    rows = []
    for quantity in shown:
        values = [result.cost.get(quantity.name, np.nan) for result in done]
        known = complete and bool(values) and bool(np.isfinite(values).all())
        over = summary(values) if known else None
        reason = (
            ""
            if known
            else quantity.absent
            if complete
            else f"{len(done)} of {len(group.results)} {group.unit}"
        )
        rows.append(
            {
                **shared,
                "metric": quantity.name,
                "unit": "count" if quantity.name in ("parameters", "flops_per_sample") else "label",
                "mean": over.mean if over else np.nan,
                "sd": over.sd if over else np.nan,
                "hole": reason,
            }
        )
    return rows
