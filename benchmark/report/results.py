"""From a store to its tables. Nothing is trained here; the tables can be made anew at any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ...leaderboards.catalog import TABLES
from ...leaderboards.labels import ENSEMBLES as KINDS
from ...leaderboards.labels import UPPER_BOUND
from ...leaderboards.published import numbers as published
from ...leaderboards.tables.results import Result
from ..core.errors import UsageError, nearest
from ..core.fold import ONE_TEST
from ..core.job import COMPANION, Job
from ..core.strings import as_list, as_seeds
from ..core.task import Task
from ..planning.oracle import Bound, stored_bounds
from ..search import trials
from ..store import reader as salvage
from ..store.job_folder import Record
from ..store.names import StoreError
from ..store.reader import store_at
from ..store.store import Store
from .audit import audit_of, cost_of, domains_in_test, families_in_training
from .chosen_tables import add_metrics
from .output_cache import published_files
from .prediction_files import PredictionFiles
from .row_labels import row_labels
from .score_cache import ScoreCache


@dataclass(frozen=True)
class Filter:
    """Which jobs a table is made of; an empty set means all.

    Attributes:
        methods, tasks, seeds, jobs: which are wanted.
        modalities: sets of modalities, whole names or first letters joined by ``+``.
        ensemble: what the members of ensembles differ in, which are rows beside the jobs; empty for none.
        lead: the metric that judges them in tables of one metric; empty for the main one of each.
    """

    methods: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()
    seeds: frozenset[int] = frozenset()
    jobs: frozenset[str] = frozenset()
    modalities: frozenset[str] = frozenset()
    ensemble: str = ""
    lead: str = ""

    def keeps(self, job: Job, seed: int | None = None) -> bool:
        """Whether a job is among them.

        Args:
            job: a job of the store.
            seed: what tables show as its seed, where that is another.

        Returns:
            False for companions, which are no results.
        """
        return (
            job.role != COMPANION
            and (not self.methods or job.label in self.methods or job.method in self.methods)
            and (not self.tasks or job.task in self.tasks or self._stands_for(Task.parse(job.task)))
            and (not self.modalities or any(_names_set(text, job.modalities) for text in self.modalities))
            and (not self.seeds or (job.seed if seed is None else seed) in self.seeds)
        )

    def _stands_for(self, task: Task) -> bool:
        return any(Task.parse(name).covers(task) for name in self.tasks if name.endswith("/*"))


def _names_set(text: str, modalities: Sequence[str]) -> bool:
    """Whether a text such as ``text+audio`` or ``T+A`` names a set of modalities."""
    names = [name.strip() for name in text.split("+")]
    return len(names) == len(modalities) and all(
        any(name == one or (len(name) == 1 and name.lower() == one[:1].lower()) for name in names)
        for one in modalities
    )


def filter_from(
    methods: str | None,
    datasets: str | None,
    seeds: str | None,
    modalities: str | None = None,
    ensemble: str | None = None,
) -> Filter:
    """The filter that flags describe.

    Args:
        methods: names or labels with commas between them; None for all.
        datasets: datasets or shifts; None for all.
        seeds: numbers and ranges; None for all.
        modalities: sets with commas between them; None for all.
        ensemble: what the members of ensembles differ in; None for no ensembles.

    Returns:
        The filter.

    Raises:
        UsageError: they describe none.
    """
    try:
        tasks = frozenset(Task.parse(name).name for name in as_list(datasets))
    except ValueError as error:
        raise UsageError(f"--datasets: {error}") from None
    try:
        numbers = frozenset(int(seed) for seed in as_seeds(seeds or []))
    except ValueError as error:
        raise UsageError(f"--seeds: {error}") from None
    if ensemble and ensemble not in KINDS:
        raise UsageError(f"--ensemble {ensemble!r}: write {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    return Filter(
        frozenset(as_list(methods)),
        tasks,
        numbers,
        modalities=frozenset(as_list(modalities)),
        ensemble=ensemble or "",
    )


def results(store: Path | str, chosen: Filter | None = None) -> list[Result]:
    """Every job of a store as the tables see it.

    Args:
        store: folder of the results.
        chosen: which are wanted; None for all.

    Returns:
        One a job, finished or not; of a search one a trial that was chosen.

    Raises:
        UsageError: there is no store, or nothing in it was chosen.
        StoreError: a job in it cannot be read.
    """
    read, faults = readable(store, chosen)
    if faults:
        raise StoreError(faults[0])
    return read


def readable(store: Path | str, chosen: Filter | None = None) -> tuple[list[Result], list[str]]:
    """As ``results``, and one line for each folder in the store that is no job.

    Args:
        store: folder of the results.
        chosen: which are wanted; None for all.

    Returns:
        The results, and the lines.

    Raises:
        UsageError: there is no store, nothing in it was chosen, or a file of published numbers in it is wrong.
        StoreError: there is nothing but folders that cannot be read.
    """
    opened = store_at(Path(store))
    add_metrics()
    _use_published(opened)
    records, faults = salvage.records(opened, chosen.jobs if chosen else ())
    chosen = chosen or Filter()
    plain, runs = trials.resolve(opened, records)
    run_of = {run.record.job.id: run for run in runs}
    rows = [record for record in plain if chosen.keeps(record.job)]
    rows += [run.record for run in runs if chosen.keeps(run.record.job, run.place)]
    if not rows:
        if faults:
            raise StoreError(faults[0])
        if not records:
            raise UsageError(salvage.no_jobs(opened))
        labels = {record.job.label for record in records}
        wanted = ", ".join(sorted(chosen.methods | chosen.tasks | chosen.modalities)) if chosen else ""
        raise UsageError(f"no job in {store} fits {wanted or 'what was wanted'}: {nearest(wanted, labels)}")
    found = _results(opened, rows, run_of)
    if chosen.lead:
        found = [replace(one, lead=chosen.lead) for one in found]
    if not chosen.ensemble:
        return found, faults
    from ...leaderboards.tables.ensemble_members import with_ensembles

    try:
        return with_ensembles(found, chosen.ensemble), faults
    except ValueError as error:
        raise UsageError(str(error)) from None


def _use_published(store: Store) -> None:
    """Makes the numbers known that lie in ``STORE/published``, beside those of mmbench."""
    try:
        published.use(published_files(store.path))
    except ValueError as error:
        raise UsageError(str(error)) from None


def leaderboard(store: Path | str) -> pd.DataFrame:
    """Accuracy on complete test data: a row for each task, modality set, method and metric.

    Mean and standard deviation (ddof = 1) over seeds, n, and a 95 % interval over seeds and samples, at full
    precision. Raises UsageError where there is no store.
    """
    return TABLES["accuracy"].make(results(store))


def missing_modalities(store: Path | str) -> pd.DataFrame:
    """As ``leaderboard``, under every fixed missing-modality pattern."""
    return TABLES["missing"].make(results(store))


def predictions(store: Path | str, job_id: str) -> pd.DataFrame:
    """The prediction table of a finished job, checked against its hash.

    Args:
        store: folder of the results.
        job_id: of a finished job.

    Returns:
        A row a sample and condition; its columns are those of ``train.predict.prediction_table``.

    Raises:
        UsageError: there is no store.
        StoreError: there is no such job, or its file is not what was written.
    """
    return PredictionFiles(store_at(Path(store)), job_id).predictions()


def _results(store: Store, records: list[Record], runs: Mapping[str, trials.Run]) -> list[Result]:
    """The results of jobs; of those in ``runs``, searches report them."""
    labels = row_labels([record.job for record in records])
    ordered = sorted(records, key=lambda record: _order(record.job))
    all_results = [_result(store, one, *labels[one.job.id], runs.get(one.job.id)) for one in ordered]
    rows = [(record.job, labels[record.job.id][1]) for record in ordered]
    all_results += [_bound_result(store, bound) for bound in stored_bounds(store, rows)]
    places: dict[tuple[str, str], int] = {}
    for one in all_results:
        places.setdefault((one.task, one.modalities), len(places))
    return sorted(all_results, key=lambda one: places[one.task, one.modalities])  # bounds beside their shift


def _result(
    store: Store, record: Record, method: str, protocol: str, run: trials.Run | None = None
) -> Result:
    job = record.job
    trained = families_in_training(job)
    record, fit, environment = _verified(store, record)
    done = record.state == "done"
    files = PredictionFiles(store, job.id) if done else None
    damaged = files is not None and files.has_conditions
    return Result(
        job=job.id,
        method=method,
        task=job.task,
        modalities=job.modality_set,
        protocol=protocol,
        seed=run.place if run else job.seed,
        draw=0,
        state=record.state,
        reason=record.reason,
        family=job.metrics,
        synthetic=job.synthetic,
        audit=audit_of(job, environment, fit, run.audit if run else {}),
        predictions=files.predictions if files else None,
        further=files.conditions if files and damaged else None,
        features=files.features if files and files.has_features else None,
        diagnostics=files.diagnostics if files and files.has_diagnostics else None,
        epochs=files.epochs if files else None,
        imputations=files.imputations if files and files.has_imputations else None,
        probes=files.probes if files and files.has_probes else None,
        cost=cost_of(environment, fit) if done else {},
        damaged=damaged,
        cache=ScoreCache(files) if files else None,
        domains=domains_in_test(fit),
        families=files.families() if files and trained else {},
        trained=trained,
        fold=job.fold.index if job.fold else 0,
        folds=job.fold.count if job.fold else 0,
        left_out=job.fold.name if job.fold else "",
        classes=files.classes if files else None,
        held_out_test=bool(job.fold) and job.fold.parts == ONE_TEST,
    )


def _verified(store: Store, record: Record) -> tuple[Record, Mapping[str, Any], Mapping[str, Any]]:
    """Reads the records of a job, checked against its done marker.

    Args:
        store: where the job is.
        record: of the job.

    Returns:
        The job, failed where its records are not what was written, so that its row is a hole; its fit record; and its
        environment. Both are empty where the job is not done.
    """
    if record.state != "done":
        return record, {}, {}
    folder = store.job(record.job.id)
    try:
        return record, folder.fit(), folder.environment()
    except StoreError as error:
        return Record(record.job, "failed", str(error)), {}, {}


def _bound_result(store: Store, bound: Bound) -> Result:
    """The row of an upper bound beside its shift."""
    own = _result(store, bound.record, "oracle", bound.protocol + UPPER_BOUND)
    audit = {**own.audit, "selected_by": "target validation (upper bound)"}
    return replace(own, task=bound.shift, audit=audit, bound=True)


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
        job.fold.index if job.fold else 0,
    )
