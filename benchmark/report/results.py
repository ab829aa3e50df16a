"""From a store to its tables. Nothing is trained here; the tables can be made anew at any time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ...corruptions.families import trained_families
from ...leaderboards.catalog import TABLES
from ...leaderboards.labels import FINGERPRINTS, LEAKS, NO_LEAKS, UPPER_BOUND
from ...leaderboards.tables.results import Result
from ..core.errors import UsageError, nearest
from ..core.fold import Fold
from ..core.job import COMPANION, OUTSIDE, Job
from ..core.method_spec import describe
from ..core.protocol import protocol_label
from ..core.registry import entries
from ..core.strings import as_list, as_seeds
from ..core.task import Task
from ..planning.oracle import Bound, stored_bounds
from ..search import trials
from ..store import reader as salvage
from ..store.job_folder import Record
from ..store.names import StoreError
from ..store.reader import store_at
from ..store.store import Store
from .chosen_tables import add_metrics
from .prediction_files import PredictionFiles
from .score_cache import ScoreCache


@dataclass(frozen=True)
class Filter:
    """Which jobs a table is made of; an empty set means all."""

    methods: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()
    seeds: frozenset[int] = frozenset()
    jobs: frozenset[str] = frozenset()

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
            and (not self.seeds or (job.seed if seed is None else seed) in self.seeds)
        )

    def _stands_for(self, task: Task) -> bool:
        return any(Task.parse(name).covers(task) for name in self.tasks if name.endswith("/*"))


def filter_from(methods: str | None, datasets: str | None, seeds: str | None) -> Filter:
    """The filter that flags describe.

    Args:
        methods: names or labels with commas between them; None for all.
        datasets: datasets or shifts; None for all.
        seeds: numbers and ranges; None for all.

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
    return Filter(frozenset(as_list(methods)), tasks, numbers)


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
        UsageError: there is no store, or nothing in it was chosen.
        StoreError: there is nothing but folders that cannot be read.
    """
    opened = store_at(Path(store))
    add_metrics()
    records, faults = salvage.records(opened, chosen.jobs if chosen else ())
    chosen = chosen or Filter()
    plain, runs = trials.resolve(opened, records)
    run_of = {run.record.job.id: run for run in runs}
    rows = [record for record in plain if chosen.keeps(record.job)]
    rows += [run.record for run in runs if chosen.keeps(run.record.job, run.place)]
    if not rows:
        if faults:
            raise StoreError(faults[0])
        labels = {record.job.label for record in records}
        wanted = ", ".join(sorted(chosen.methods | chosen.tasks)) if chosen else ""
        raise UsageError(f"no job in {store} fits {wanted or 'what was wanted'}: {nearest(wanted, labels)}")
    return _results(opened, rows, run_of), faults


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
    labels = _labels([record.job for record in records])
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
    trained = _trained(job)
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
        audit={
            **_audit(job),
            **_code(environment),
            **_leaks(environment),
            **_bases(fit),
            **_drawn_validation(environment),
            **(run.audit if run else {}),
            FINGERPRINTS: ", ".join(f"{item.name}: {item.fingerprint[:16]}" for item in job.data),
        },
        predictions=files.predictions if files else None,
        further=files.conditions if files and damaged else None,
        features=files.features if files and files.has_features else None,
        diagnostics=files.diagnostics if files and files.has_diagnostics else None,
        cost=_cost(environment, fit) if done else {},
        damaged=damaged,
        cache=ScoreCache(files) if files else None,
        domains=_domains(fit),
        families=files.families() if files and trained else {},
        trained=trained,
        fold=job.fold.index if job.fold else 0,
        folds=job.fold.count if job.fold else 0,
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


def _audit(job: Job) -> dict[str, str]:
    """What a reader must know to compare rows."""
    features = {"features": ", ".join(f"{item.name}: {item.format}" for item in job.data)}
    if job.role == OUTSIDE:
        return _OF_OUTSIDE | {"train_missing": job.train_missing} | features
    selection = str(job.protocol["selection"])
    return {
        "selected_by": _SELECTED_BY.get(selection, selection),
        "train_missing": _joined(job.train_missing, job.protocol.get("train_with_missing", "off")),
        "train_noise": job.protocol.get("train_with_noise", "off"),
        "domain_term": _domain_term(job),
        "train_families": ", ".join(sorted(_trained(job))) or "none",
        "models": "one for all patterns",
        **features,
        **_class_weights(job),
        **_modality_term(job),
        **({"division": _division(job.fold)} if job.fold else {}),
    }


def _division(fold: Fold) -> str:
    """How a dataset is divided into folds, in words."""
    number = f", {fold.count} folds" if fold.leave_one_out else ""
    return f"{fold.rule} of all samples{number}, division {fold.division[:8]}"


#: What is known of a method that was trained outside.
_OF_OUTSIDE = {
    "selected_by": "not by mmbench",
    "train_missing": "not known",
    "train_noise": "not known",
    "domain_term": "not known",
    "train_families": "not known",
    "models": "not known",
}
_SELECTED_BY = {
    "source-validation": "source validation split",
    "last": "last epoch",
    "leave-one-source-out": "validation splits of left-out sources",
    "oracle": "target validation (oracle)",
}


def _class_weights(job: Job) -> dict[str, str]:
    """How classes are weighed in the loss; nothing where they are not, as in all jobs before there was the rule."""
    weights = job.protocol.get("class_weights", "off")
    return {} if weights == "off" else {"class_weights": str(weights)}


def _modality_term(job: Job) -> dict[str, str]:
    """That the method's own idea is off, where it needs more modalities than there are; else nothing."""
    entry = entries("method").get(job.method)
    there = len(job.modalities)
    if entry is None or describe(entry).needs_modalities <= there:
        return {}
    return {"modality_term": f"off: {there} modalit{'y' if there == 1 else 'ies'}"}


def _domain_term(job: Job) -> str:
    """Whether the method has a term between source domains, and whether the task has the domains for it."""
    if job.needs_domains < 2:
        return "none"
    sources = len(Task.parse(job.task).sources)
    return "on" if sources >= job.needs_domains else f"off: {sources} source domain{'s'[: sources != 1]}"


def _joined(own: str, rule: str) -> str:
    """How modalities are missing in training: the method's own way and the protocol's."""
    return own if rule == "off" else f"{rule} (protocol)" if own == "none" else f"{own}; {rule} (protocol)"


def _labels(jobs: list[Job]) -> dict[str, tuple[str, str]]:
    """Job id -> method and protocol as its row says them.

    Two jobs that differ in anything but the seed and the fold never share a row: where label and protocol leave them
    alike, the version of the method is added. Two jobs whose data differ never share a block, whatever their
    methods: the hash of the data is added to the protocol, by which blocks are told apart. So is the rule by which a
    dataset is divided into folds, and the division where one rule has given two.
    """
    parts: dict[str, list[str]] = {job.id: [job.label, _protocol(job)] for job in jobs}
    in_row: tuple[Callable[[Job], str], ...] = (
        lambda job: f"version {job.version}",
        lambda job: ", ".join(f"{key}={value}" for key, value in sorted(job.params.items())),
    )
    for tell in in_row:
        _distinguish(jobs, parts, 0, lambda job: (job.task, job.modalities, *parts[job.id]), tell)
    for tell in (_content, lambda job: f"division {job.fold.division[:8]}" if job.fold else ""):
        _distinguish(jobs, parts, 1, lambda job: (job.task, job.modalities, parts[job.id][1]), tell)
    return {job_id: (method, protocol) for job_id, (method, protocol) in parts.items()}


def _distinguish(
    jobs: list[Job],
    parts: dict[str, list[str]],
    column: int,
    place: Callable[[Job], tuple],
    tell: Callable[[Job], str],
) -> None:
    """Adds words to the labels of jobs that share a place of the tables and that these words tell apart.

    Args:
        jobs: all of them.
        parts: job id -> method and protocol; changed.
        column: which of the two the words are added to.
        place: what jobs share.
        tell: the words of a job.
    """
    words: dict[tuple, set[str]] = defaultdict(set)
    for job in jobs:
        words[place(job)].add(tell(job))
    ambiguous = [job for job in jobs if len(words[place(job)]) > 1]
    for job in ambiguous:
        parts[job.id][column] += f" [{tell(job)}]"


def _content(job: Job) -> str:
    """The content of a job's data: eight digits of the fingerprint of each dataset."""
    return "data " + "+".join(item.fingerprint[:8] for item in job.data)


def _protocol(job: Job) -> str:
    folds = f" [{job.fold.rule}]" if job.fold else ""
    return (job.rules or protocol_label(job.protocol)) + folds + trials.protocol_suffix(job.search)


def _trained(job: Job) -> frozenset[str]:
    """The families of corruption that the protocol puts into training."""
    rules = job.protocol
    return trained_families(rules.get("train_with_missing", "off"), rules.get("train_with_noise", "off"))


def _domains(fit: Mapping[str, Any]) -> tuple[str, ...]:
    """The domains of the test samples; none where they were not recorded."""
    names = fit.get("test_domains")
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _code(environment: Mapping[str, Any]) -> dict[str, str]:
    """Whether a job ran by the code that asked for it, for the audit; nothing where that was not recorded."""
    changed = environment.get("code_changed")
    said = "changed between asking and running" if changed else "as asked for"
    return {"code": said} if isinstance(changed, bool) else {}


def _bases(fit: Mapping[str, Any]) -> dict[str, str]:
    """The models that a network was built on and did not train, for the audit; nothing where there is none."""
    known = fit.get("bases")
    if not isinstance(known, dict) or not known:
        return {}
    return {"base_models": ", ".join(f"{name}: {str(digest)[:16]}" for name, digest in known.items())}


def _leaks(environment: Mapping[str, Any]) -> dict[str, str]:
    """What the splits of the data share, for the audit; nothing where that was not recorded."""
    known = environment.get("leaks")
    if not isinstance(known, dict) or not known:
        return {}
    shared = [f"{name}: {'; '.join(found)}" for name, found in known.items() if found]
    return {LEAKS: ", ".join(shared) or NO_LEAKS}


def _drawn_validation(environment: Mapping[str, Any]) -> dict[str, str]:
    """How validation parts were drawn, for the audit; nothing where the data state them."""
    known = environment.get("drawn_validation") or {}
    return {"drawn_validation": "; ".join(f"{name}: {how}" for name, how in known.items())} if known else {}


def _cost(environment: Mapping[str, Any], fit: Mapping[str, Any]) -> dict[str, float]:
    """What a job cost, from its records; without what was not recorded."""
    seconds = environment.get("seconds", {})
    energy = environment.get("energy_joules", {})
    gib = 2.0**30
    costs = {
        "parameters": fit.get("parameters"),
        "selected_epoch": fit.get("selected_epoch"),
        "seconds_fit": seconds.get("fit"),
        "seconds_predict": seconds.get("predict"),
        "energy_cpu_joules": energy.get("cpu"),
        "energy_gpu_joules": energy.get("gpu"),
        "peak_process_memory_gib": environment.get("peak_process_memory_bytes", float("nan")) / gib,
        "peak_gpu_memory_gib": environment.get("peak_gpu_memory_bytes", float("nan")) / gib,
    }
    return {name: float(value) for name, value in costs.items() if value is not None}
