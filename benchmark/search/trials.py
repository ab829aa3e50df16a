"""The searches in a store: what was tried, how it did on source validation, and what was chosen.

All of it is read from the jobs, which are trials and repeats like any other jobs, so it can be told anew at any
time. Nothing here sees the target. ``searches/NAME.json`` in the store says the same to people; nothing reads it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.atomic_files import read_json, write_json
from ..core.errors import UsageError
from ..core.job import NOT_IDENTITY, Job, Trial, canonical_json
from ..core.method_spec import word
from ..core.selection import Direction
from ..core.states import BROKEN
from ..store.job_folder import Record
from ..store.names import inside
from ..store.store import Store
from .sampling import seed_of

#: Folder of the records and of Optuna's journals in a store.
FOLDER = "searches"


@dataclass(frozen=True)
class Score:
    """How a trial did on source validation.

    Attributes:
        metric: that of its selected epoch, by which epochs are selected.
        loss: the validation loss of the same epoch.
    """

    metric: float
    loss: float


#: The score that a record of a fit (``fit.json``) gives a trial.
Scorer = Callable[[Mapping[str, Any]], Score]


def selected_score(fit: Mapping[str, Any]) -> Score:
    """What the rule of selection saw of the epoch that is tested: by default, its score on source validation."""
    epoch = fit.get("selected_by") or fit["epochs"][fit["selected_epoch"]]
    return Score(float(epoch["metric"]), float(epoch["loss"]))


def direction_of(metric: str) -> Direction:
    """Whether a metric of a fit record (``accuracy`` or ``mae``) is better higher or lower."""
    return "higher" if metric == "accuracy" else "lower"


def choose(scores: Mapping[int, Score], direction: Direction) -> int:
    """The trial with the best metric; ties go to the lower loss, then to the lower index.

    Args:
        scores: index -> score of every trial that may be chosen, at least one.
        direction: whether the metric is better higher or lower.
    """
    sign = 1.0 if direction == "lower" else -1.0
    return min(scores, key=lambda index: (sign * scores[index].metric, scores[index].loss, index))


@dataclass(frozen=True)
class Found:
    """A search as far as it has come.

    Attributes:
        trial: the part of its jobs, with the numbers of draws and repeats that it has by now.
        trials: index -> job, of those that are written down.
        repeats: of the chosen configuration, index -> job, of those that are written down.
        scores: index -> score, of the trials that are done.
        metric: by which trials are chosen; empty while none is done.
        chosen: the best trial, once all have ended well.
        why: why none is chosen, in one line; else empty.
    """

    trial: Trial
    trials: Mapping[int, Record]
    repeats: Mapping[int, Record]
    scores: Mapping[int, Score]
    metric: str
    chosen: int | None
    why: str

    @property
    def name(self) -> str:
        """Of its record in the store."""
        return name_of(next(iter((*self.trials.values(), *self.repeats.values()))).job)

    @property
    def pruned(self) -> int:
        """Trials that were ended early."""
        return sum(record.state == "pruned" for record in self.trials.values())

    @property
    def broken(self) -> bool:
        """Whether a trial failed."""
        return any(record.state in BROKEN for record in self.trials.values())

    def drawn(self, index: int) -> str:
        """The parameters of a trial that are searched, such as ``alpha=0.3, beta=0.7``, to six digits."""
        params = self.trials[index].job.params
        shown = {name: params[name] for name in self.trial.searched}
        shown |= {name: f"{value:.6g}" for name, value in shown.items() if isinstance(value, float)}
        return ", ".join(f"{name}={word(value)}" for name, value in shown.items())


def name_of(job: Job) -> str:
    """The name of the search that a job is of: the beginning of its jobs' ids and a hash. Jobs of one search differ
    in drawn parameters and seed alone; the numbers of draws and repeats may grow."""
    assert job.search is not None
    values = {key: value for key, value in job.to_dict().items() if key == "label" or key not in NOT_IDENTITY}
    fixed = {key: value for key, value in values["params"].items() if key not in job.search.searched}
    about = {**values, "params": fixed, "seed": 0, "data": [[d.name, d.fingerprint] for d in job.data]}
    rules = [job.search.sampler, job.search.pruner, sorted(job.search.searched)]
    digest = hashlib.sha256(canonical_json([about, rules]).encode()).hexdigest()[:12]
    return f"{job.id.rpartition('-s')[0]}-{digest}"


def _alike(job: Job, part: Trial) -> tuple:
    """What makes the name of a search: equal only for jobs of the same."""
    fixed = [(key, value) for key, value in job.params.items() if key not in part.searched]
    rules = (part.sampler, part.pruner, part.searched, str(job.protocol), str(fixed))
    return job.label, job.method, job.version, job.task, job.modalities, job.data, job.role, rules


def searches(store: Store, records: Iterable[Record], scorer: Scorer = selected_score) -> list[Found]:
    """The searches that jobs are trials and repeats of.

    Args:
        store: where they lie.
        records: jobs; those without a part in a search are passed over.
        scorer: how a trial is scored.
    """
    members: dict[str, list[Record]] = {}
    names: dict[tuple, str] = {}  # ten thousand jobs are of few searches, and hashing takes longest
    for record in records:
        if record.job.search:
            alike = _alike(record.job, record.job.search)
            if alike not in names:
                names[alike] = name_of(record.job)
            members.setdefault(names[alike], []).append(record)
    return [search_of(store, own, scorer) for own in members.values()]


def search_of(store: Store, records: Sequence[Record], scorer: Scorer = selected_score) -> Found:
    """The one search that jobs, at least one, are trials and repeats of; else as ``searches``."""
    parts = [part for record in records if (part := record.job.search)]
    draws, repeats = max(part.draws for part in parts), max(part.repeats for part in parts)
    part = replace(parts[0], role="trial", index=0, draws=draws, repeats=repeats)
    trials: dict[int, Record] = {}
    for record in sorted(records, key=lambda record: (record.state != "done", record.job.id)):
        own = record.job.search
        if own and own.role == "trial":
            trials.setdefault(own.index, record)
    trials = dict(sorted(trials.items()))
    scores: dict[int, Score] = {}
    unreadable: set[int] = set()
    metric = ""
    for index, record in trials.items():
        if record.state == "done":
            try:
                fit = read_json(f"{store.job(record.job.id).path}/fit.json")
                scores[index], metric = scorer(fit), str(fit["metric"])
            except (LookupError, TypeError, ValueError):
                unreadable.add(index)
    why = _lacking(trials, unreadable, draws)
    chosen = None if why else choose(scores, direction_of(metric))
    again: dict[int, Record] = {}
    if chosen is not None:
        for record in records:
            own = record.job.search
            if own and own.role == "repeat" and record.job.params == trials[chosen].job.params:
                again[own.index] = record
    return Found(part, trials, dict(sorted(again.items())), scores, metric, chosen, why)


def _lacking(trials: Mapping[int, Record], unreadable: Iterable[int], draws: int) -> str:
    """Why no trial can be chosen yet; empty where one can. A trial that is not there is not passed over."""
    told: dict[str, list[str]] = {}
    for index in range(1 + draws):
        if index not in trials:
            told.setdefault("not in the store", []).append(f"trial {index}")
        elif index in unreadable:
            told.setdefault("without a fit record that can be read", []).append(f"trial {index}")
        elif trials[index].state not in ("done", "pruned"):
            record = trials[index]
            reason = f": {record.reason}" if record.reason else ""
            told.setdefault(_STATES[record.state], []).append(f"trial {index}{reason}")
    first = [_STATES[state] for state in BROKEN]
    words = sorted(told, key=lambda word: (word not in first, word))
    parts = [f"{len(told[word])} of {1 + draws} trials {word} ({_some(told[word])})" for word in words]
    if not parts and all(record.state == "pruned" for record in trials.values()):
        return "every trial was pruned"
    return "; ".join(parts)


_STATES = {
    "failed": "failed",
    "dead": "died",
    "cancelled": "cancelled",
    "running": "running",
    "queued": "queued",
    "planned": "not started",
}


def _some(items: Sequence[str], most: int = 3) -> str:
    more = f", and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


@dataclass(frozen=True)
class Run:
    """One of the networks that a search reports: the chosen trial or a repeat.

    Attributes:
        record: its job; where it is not known yet, one that stands for it and says why.
        place: 0 for the chosen trial, then 1, 2, ...: what is paired across methods in place of seeds.
        audit: what a reader must know of the search.
    """

    record: Record
    place: int
    audit: Mapping[str, str]


def resolve(store: Store, records: Sequence[Record]) -> tuple[list[Record], list[Run]]:
    """What of a store is a result: jobs without a search, and the runs that each search reports. Trials that were
    not chosen are in neither."""
    plain = [record for record in records if not record.job.search]
    return plain, [run for found in searches(store, records) for run in runs_of(found)]


def runs_of(found: Found) -> list[Run]:
    """The chosen trial and its repeats; while none is chosen, as many that stand for them, so that there is a hole."""
    first = next(iter(found.trials.values()), None)
    any_trial = first if found.chosen is None else found.trials[found.chosen]
    if any_trial is None:  # repeats alone, as after a merge of some jobs
        return []
    asked = any_trial.job
    if found.chosen is None:
        broken = found.broken or found.pruned == len(found.trials)
        begun = any(record.state == "running" for record in found.trials.values())
        state = "failed" if broken else "running" if begun else "planned"
        records = [Record(asked, state, found.why)]
    else:
        records = [any_trial]
    for index in range(found.trial.repeats):
        waiting = repeat_of(asked, found.trial, index)
        reason = "" if found.chosen is not None else "waits for the search"
        records.append(found.repeats.get(index, Record(waiting, "planned", reason)))
    audit = {"search": words(found), "drawn": "none is chosen yet", "search_seeds": "none are chosen yet"}
    if found.chosen is not None:
        audit["drawn"] = f"trial {found.chosen}: {found.drawn(found.chosen) or 'the defaults'}"
        audit["search_seeds"] = " ".join(str(record.job.seed) for record in records)
    return [
        Run(replace(record, job=replace(record.job, search=found.trial)), place, audit)
        for place, record in enumerate(records)
    ]


def repeat_of(chosen: Job, trial: Trial, index: int) -> Job:
    """A repeat of a trial: its configuration with a seed of its own."""
    seed = seed_of("repeat", index, seed_names(trial))
    return replace(chosen, seed=seed, search=replace(trial, role="repeat", index=index))


def seed_names(trial: Trial) -> tuple[str, ...]:
    """What tells the seeds of one search from those of another with the same method and data."""
    return (trial.sampler, trial.pruner, *trial.pinned)


def size_words(trial: Trial) -> str:
    """``1+10+2``: the default, the draws, the repeats."""
    return f"1+{trial.draws}+{trial.repeats}"


def protocol_words(trial: Trial | None) -> str:
    """What a search adds to the name of a protocol; rows of other budgets are not compared."""
    if trial is None:
        return ""
    how = "" if trial.sampler == "random" else f" by {trial.sampler}"
    return f", search {size_words(trial)}{how}" + (
        "" if trial.pruner == "none" else f", {trial.pruner} pruner"
    )


def words(found: Found) -> str:
    """What the audit says of a search."""
    said = [size_words(found.trial), "chosen by source validation"]
    if not found.trial.searched:
        said.append("nothing to search: the draws are seeds")
    if found.pruned:
        said.append(f"{found.pruned} pruned")
    return ", ".join(said)


def counted(found: Iterable[Found]) -> Counter[str]:
    """How many trials and repeats there are, and searches that chose, that have a failed trial, or go on."""
    counts: Counter[str] = Counter()
    for one in found:
        counts["trials"] += len(one.trials)
        counts["repeats"] += len(one.repeats)
        counts["chosen" if one.chosen is not None else "broken" if one.broken else "open"] += 1
    return counts


def has_news(store: Store, found: Found) -> bool:
    """Whether the record of a search does not say what is the case now."""
    return read_json(_file(store, found)) != as_json(found)


def write_record(store: Store, found: Found) -> None:
    """Writes down, for people, who was tried, how each did, and who was chosen."""
    file = _file(store, found)
    try:
        inside(file.parent).mkdir(exist_ok=True)
        write_json(file, as_json(found))
    except OSError as error:
        raise UsageError(f"{file.parent}: cannot be written ({error.strerror})") from None


def _file(store: Store, found: Found) -> Path:
    return store.path / FOLDER / f"{found.name}.json"


def as_json(found: Found) -> dict[str, Any]:
    """The record of a search as plain values."""

    def told(index: int, record: Record) -> dict[str, Any]:
        score = found.scores.get(index)
        params = {name: record.job.params[name] for name in found.trial.searched}
        values = {"index": index, "job": record.job.id, "state": record.state, "seed": record.job.seed}
        scored = {"metric": score.metric, "loss": score.loss} if score else {}
        return {**values, "drawn": params, **scored, **({"reason": record.reason} if record.reason else {})}

    job = next(iter((*found.trials.values(), *found.repeats.values()))).job
    return {
        "method": job.label,
        "task": job.task,
        "modalities": job.modality_set,
        "search": words(found),
        "sampler": found.trial.sampler,
        "pruner": found.trial.pruner,
        "metric": found.metric,
        "trials": [told(index, record) for index, record in found.trials.items()],
        "chosen": found.chosen,
        "why_none": found.why,
        "repeats": [record.job.id for record in found.repeats.values()],
    }
