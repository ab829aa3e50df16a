"""From a store to its tables. Nothing is trained here; the tables can be made anew at any time."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
from rich.console import Console

from ..leaderboards import plots, render, tables
from ..leaderboards.results import Result
from .errors import UsageError, nearest
from .experiment import as_list, as_seeds, protocol_label
from .job import Job, Task
from .launch import store_at
from .store import Record, Store
from .terminal import print_table

#: table -> what its title begins with, and what its columns are
LAYOUTS: dict[str, tuple[str, render.Across]] = {
    "accuracy": ("Accuracy on complete test data", "metric"),
    "missing": ("Missing modalities at test time", "condition"),
}


#: Columns that name a row, at the beginning of every table.
NAMES = (*render.KEYS, "method", "n", "metric")


@dataclass(frozen=True)
class Filter:
    """Which jobs a table is made of; an empty set means all."""

    methods: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()
    seeds: frozenset[int] = frozenset()

    def keeps(self, job: Job) -> bool:
        """Whether a job is among them."""
        return (
            (not self.methods or job.label in self.methods or job.method in self.methods)
            and (not self.tasks or job.task in self.tasks)
            and (not self.seeds or job.seed in self.seeds)
        )


def filter_from(methods: str | None, datasets: str | None, seeds: str | None) -> Filter:
    """The filter that flags describe. Raises UsageError where they describe none."""
    try:
        tasks = frozenset(Task.parse(name).name for name in as_list(datasets))
    except ValueError as error:
        raise UsageError(f"--datasets: {error}") from None
    try:
        numbers = frozenset(int(seed) for seed in as_seeds(seeds or []))
    except ValueError:
        raise UsageError(f"--seeds {seeds!r}: write 0,1,2 or 0-4") from None
    return Filter(frozenset(as_list(methods)), tasks, numbers)


def results(store: Path | str, chosen: Filter | None = None) -> list[Result]:
    """Every job of a store as the tables see it.

    Raises:
        UsageError: there is no store, or nothing in it was chosen.
        StoreError: a job in it cannot be read.
    """
    opened = store_at(Path(store))
    records = list(opened)
    kept = [record for record in records if chosen is None or chosen.keeps(record.job)]
    if not kept:
        labels = {record.job.label for record in records}
        asked = ", ".join(sorted(chosen.methods | chosen.tasks)) if chosen else ""
        raise UsageError(f"no job in {store} fits {asked or 'what was asked'}: {nearest(asked, labels)}")
    return _results(opened, kept)


def leaderboard(store: Path | str) -> pd.DataFrame:
    """Accuracy on complete test data: a row for each task, modality set, method and metric.

    Mean and standard deviation (ddof = 1) over seeds, n, and a 95 % interval over seeds and samples, at full
    precision. Raises UsageError where there is no store.
    """
    return tables.accuracy(results(store))


def missing_modalities(store: Path | str) -> pd.DataFrame:
    """As ``leaderboard``, under every fixed missing-modality pattern."""
    return tables.missing(results(store))


def predictions(store: Path | str, job_id: str) -> pd.DataFrame:
    """The prediction table of a finished job, checked against its hash."""
    return _reader(store_at(Path(store)), job_id)()


def write_leaderboards(
    store: Path, folder: Path, methods: str | None, datasets: str | None, seeds: str | None, out: Console
) -> bool:
    """Prints the tables and writes them as CSV and Markdown, with a picture; whether none has a hole."""
    chosen = filter_from(methods, datasets, seeds)
    found = results(store, chosen)
    frames = {"accuracy": tables.accuracy(found)}
    if any("+" in result.modalities for result in found):
        frames["missing"] = tables.missing(found)
    files: list[Path] = []
    for stem, (subject, across) in LAYOUTS.items():
        if stem not in frames:
            continue
        frame = frames[stem]
        print_table(out, render.title(frame, subject), _for_terminal(frame, across), NAMES)
        files.append(render.write_csv(frame, folder, stem))
        files.append(render.write_markdown(frame, folder, stem, subject, across))
    if "missing" in frames and find_spec("matplotlib"):
        files.append(plots.write_missing_modalities(frames["missing"], folder))
    holes = list(dict.fromkeys(hole for frame in frames.values() for hole in render.holes(frame)))
    notes = dict.fromkeys(note for frame in frames.values() for note in render.notes(frame))
    for note in notes:
        out.print(note, style="yellow" if note in holes else "dim", markup=False, highlight=False)
    for file in files:
        out.print(f"wrote {file}", markup=False, highlight=False, soft_wrap=True)
    return not holes


def _for_terminal(frame: pd.DataFrame, across: render.Across) -> pd.DataFrame:
    """The table with the interval of its first column only, in a column of its own; the files have all."""
    table = render.wide(frame, across, intervals=False)
    first = next(name for name in table if name not in NAMES)
    intervals = render.wide(frame, across)[first].str.extract(r"(\[.*\])", expand=False).fillna("")
    table.insert(int(table.columns.get_indexer([first])[0]) + 1, "95 %", intervals)
    return table


def _results(store: Store, records: list[Record]) -> list[Result]:
    labels = _labels([record.job for record in records])
    found = []
    for record in sorted(records, key=lambda record: _order(record.job)):
        job = record.job
        method, protocol = labels[job.id]
        found.append(
            Result(
                job=job.id,
                method=method,
                task=job.task,
                modalities=job.modality_set,
                protocol=protocol,
                seed=job.seed,
                draw=0,
                state=record.state,
                reason=record.reason,
                family=job.metrics,
                synthetic=job.synthetic,
                audit=_audit(job),
                predictions=_reader(store, job.id) if record.state == "done" else None,
            )
        )
    return found


def _order(job: Job) -> tuple:
    """In-domain tasks first, fewer modalities first, erm first, then by name."""
    return (
        "->" in job.task,
        job.task,
        len(job.modalities),
        job.modality_set,
        job.method != "erm",
        job.label,
        job.seed,
    )


def _audit(job: Job) -> dict[str, str]:
    """What a reader must know to compare rows."""
    selection = job.protocol["selection"]
    return {
        "selected_by": "source validation split"
        if selection == "source-validation"
        else f"{selection} epoch",
        "train_missing": job.train_missing,
        "models": "one for all patterns",
        "features": ", ".join(f"{item.name}: {item.format}" for item in job.data),
    }


def _labels(jobs: list[Job]) -> dict[str, tuple[str, str]]:
    """Job id -> method and protocol as its row says them.

    Two jobs that differ in anything but the seed never share a row: where label and protocol leave them
    alike, the version of the method or the hash of the data is added.
    """
    parts: dict[str, list[str]] = {job.id: [job.label, protocol_label(job.protocol)] for job in jobs}
    distinguish: list[tuple[int, Callable[[Job], str]]] = [
        (0, lambda job: f"version {job.version}"),
        (0, lambda job: ", ".join(f"{key}={value}" for key, value in sorted(job.params.items()))),
        (1, lambda job: "data " + "+".join(item.fingerprint[:8] for item in job.data)),
    ]
    for column, tell in distinguish:
        alike: dict[tuple, set[str]] = defaultdict(set)
        for job in jobs:
            alike[_row(job, parts)].add(tell(job))
        ambiguous = {key for key, told in alike.items() if len(told) > 1}
        added = {job.id: tell(job) for job in jobs if _row(job, parts) in ambiguous}
        for job_id, words in added.items():
            parts[job_id][column] += f" [{words}]"
    return {job_id: (method, protocol) for job_id, (method, protocol) in parts.items()}


def _row(job: Job, parts: dict[str, list[str]]) -> tuple:
    return (job.task, job.modalities, *parts[job.id])


def _reader(store: Store, job_id: str) -> Callable[[], pd.DataFrame]:
    """Reads the predictions once, however many tables are made of them."""
    return cache(lambda: pd.read_parquet(io.BytesIO(store.read(job_id, "predictions.parquet"))))
