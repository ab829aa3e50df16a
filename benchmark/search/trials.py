"""The searches in a store: their trials, the scores on source validation, and the chosen trials.

All of it is read from the jobs, which are trials and repeats like any other jobs, so it can be derived again at
any time. Nothing here sees the target. ``searches/NAME.json`` in the store says the same to people; nothing reads it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.job import NOT_IDENTITY, RULE, Job, Trial, canonical_json
from ..core.method_fields import word
from ..core.selection import Direction
from ..core.states import BROKEN
from ..store.job_folder import Record
from ..store.store import Store
from .sampling import seed_of

#: Folder of the records and of Optuna's journals in a store.
FOLDER = "searches"


@dataclass(frozen=True)
class TrialScore:
    """The score of a trial on source validation.

    Attributes:
        metric: that of its selected epoch, by which epochs are selected.
        loss: the validation loss of the same epoch.
    """

    metric: float
    loss: float


#: The score that a record of a fit (``fit.json``) gives a trial.
Scorer = Callable[[Mapping[str, Any]], TrialScore]


def selected_score(fit: Mapping[str, Any]) -> TrialScore:
    """The score that the rule of selection gave to the tested epoch: by default, that on source validation."""
    epoch = fit.get("selected_by") or fit["epochs"][fit["selected_epoch"]]
    return TrialScore(float(epoch["metric"]), float(epoch["loss"]))


def direction_of(metric: str) -> Direction:
    """Whether a metric of a fit record (see ``selection_metric``) is better higher or lower."""
    return "lower" if metric == "mae" else "higher"


def best_trial(scores: Mapping[int, TrialScore], direction: Direction) -> int:
    """The trial with the best metric; ties go to the lower loss, then to the lower index.

    Args:
        scores: index -> score of every trial that may be chosen, at least one.
        direction: whether the metric is better higher or lower.
    """
    sign = 1.0 if direction == "lower" else -1.0
    return min(scores, key=lambda index: (sign * scores[index].metric, scores[index].loss, index))


@dataclass(frozen=True)
class SearchProgress:
    """The progress of a search.

    Attributes:
        trial: the part of its jobs in it, with the largest numbers of draws and repeats that any of them names.
        trials: index -> record of the job, of the trials that are in the store.
        repeats: index -> record of the job, of the chosen trial's repeats that are in the store.
        scores: index -> score, of the trials that are done.
        metric: by which trials are chosen; empty while none is done.
        chosen: the best trial, once all have ended well.
        why: why none is chosen, in one line; else empty.
    """

    trial: Trial
    trials: Mapping[int, Record]
    repeats: Mapping[int, Record]
    scores: Mapping[int, TrialScore]
    metric: str
    chosen: int | None
    why: str

    @property
    def name(self) -> str:
        """The name of its record in the store."""
        return search_name(next(iter((*self.trials.values(), *self.repeats.values()))).job)

    @property
    def pruned_trials(self) -> int:
        """The number of trials that were ended early."""
        return sum(record.state == "pruned" for record in self.trials.values())

    @property
    def has_failed_trial(self) -> bool:
        """Whether a trial failed."""
        return any(record.state in BROKEN for record in self.trials.values())

    def drawn_parameters(self, index: int) -> str:
        """The searched parameters of a trial as text, such as ``alpha=0.3, beta=0.7``, to six digits."""
        job = self.trials[index].job
        shown = {name.removeprefix(RULE): job.value(name) for name in self.trial.searched}
        shown |= {name: f"{value:.6g}" for name, value in shown.items() if isinstance(value, float)}
        return ", ".join(f"{name}={word(value)}" for name, value in shown.items())


def search_name(job: Job) -> str:
    """The name of the search that a job belongs to: the beginning of its jobs' ids and a hash.

    Jobs of one search differ in drawn parameters and seed alone; the numbers of draws and repeats may grow.
    """
    assert job.search is not None
    values = {key: value for key, value in job.to_dict().items() if key == "label" or key not in NOT_IDENTITY}
    fixed = _not_drawn(job, job.search)
    about = {**values, **fixed, "seed": 0, "data": [[d.name, d.fingerprint] for d in job.data]}
    rules = [job.search.sampler, job.search.pruner, sorted(job.search.searched)]
    digest = hashlib.sha256(canonical_json([about, rules]).encode()).hexdigest()[:12]
    return f"{job.id.rpartition('-s')[0] or 'search'}-{digest}"


def _not_drawn(job: Job, part: Trial) -> dict[str, dict[str, Any]]:
    """``params`` and ``protocol`` of a job, without what its search draws."""
    return {
        "params": {key: value for key, value in job.params.items() if key not in part.searched},
        "protocol": {key: value for key, value in job.protocol.items() if RULE + key not in part.searched},
    }


def _search_key(job: Job, part: Trial) -> tuple:
    """What ``search_name`` depends on: equal only for jobs of the same search. It is faster than the name.

    Args:
        job: a trial or repeat.
        part: its part in the search.
    """
    rules = (part.sampler, part.pruner, part.searched, str(_not_drawn(job, part)))
    return job.label, job.method, job.version, job.task, job.modalities, job.data, job.role, job.fold, rules


def searches(
    store: Store, records: Iterable[Record], scorer: Scorer = selected_score
) -> list[SearchProgress]:
    """The searches that jobs are trials and repeats of.

    Args:
        store: where the jobs lie.
        records: of the jobs; those that are in no search are passed over.
        scorer: gives a trial its score.
    """
    members: dict[str, list[Record]] = {}
    names: dict[tuple, str] = {}  # ten thousand jobs are of few searches, and hashing takes longest
    for record in records:
        if record.job.search:
            key = _search_key(record.job, record.job.search)
            if key not in names:
                names[key] = search_name(record.job)
            members.setdefault(names[key], []).append(record)
    return [search_of(store, own, scorer) for own in members.values()]


def search_of(store: Store, records: Sequence[Record], scorer: Scorer = selected_score) -> SearchProgress:
    """The one search that jobs are trials and repeats of.

    Args:
        store: where the jobs lie.
        records: of the jobs, at least one.
        scorer: gives a trial its score.
    """
    parts = [part for record in records if (part := record.job.search)]
    draws, repeats = max(part.draws for part in parts), max(part.repeats for part in parts)
    part = replace(parts[0], role="trial", index=0, draws=draws, repeats=repeats)
    trials: dict[int, Record] = {}
    for record in sorted(records, key=lambda record: (record.state != "done", record.job.id)):
        own = record.job.search
        if own and own.role == "trial":
            trials.setdefault(own.index, record)
    trials = dict(sorted(trials.items()))
    scores: dict[int, TrialScore] = {}
    unreadable: set[int] = set()
    metric = ""
    for index, record in trials.items():
        if record.state == "done":
            try:
                fit = store.job(record.job.id).fit()
                scores[index], metric = scorer(fit), str(fit["metric"])
            except (LookupError, TypeError, ValueError):
                unreadable.add(index)
    why = _why_none(trials, unreadable, draws)
    chosen = None if why else best_trial(scores, direction_of(metric))
    again: dict[int, Record] = {}
    if chosen is not None:
        for record in records:
            own = record.job.search
            if (
                own
                and own.role == "repeat"
                and _configuration(record.job) == _configuration(trials[chosen].job)
            ):
                again[own.index] = record
    return SearchProgress(part, trials, dict(sorted(again.items())), scores, metric, chosen, why)


def _configuration(job: Job) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What a trial has in common with its repeats."""
    return job.params, job.protocol


def _why_none(trials: Mapping[int, Record], unreadable: Iterable[int], draws: int) -> str:
    """Why no trial can be chosen yet; empty where one can.

    Args:
        trials: index -> record of the job.
        unreadable: indices of those whose fit record cannot be read.
        draws: how many trials there should be beside the default; one that is not there is a reason.
    """
    reasons: dict[str, list[str]] = {}
    for index in range(1 + draws):
        if index not in trials:
            reasons.setdefault("not in the store", []).append(f"trial {index}")
        elif index in unreadable:
            reasons.setdefault("without a fit record that can be read", []).append(f"trial {index}")
        elif trials[index].state not in ("done", "pruned"):
            record = trials[index]
            reason = f": {record.reason}" if record.reason else ""
            reasons.setdefault(_STATES[record.state], []).append(f"trial {index}{reason}")
    first = [_STATES[state] for state in BROKEN]
    kinds = sorted(reasons, key=lambda kind: (kind not in first, kind))
    parts = [f"{len(reasons[kind])} of {1 + draws} trials {kind} ({_some(reasons[kind])})" for kind in kinds]
    if not parts and all(record.state == "pruned" for record in trials.values()):
        return "every trial was pruned"
    return "; ".join(parts)


_STATES = {
    "failed": "failed",
    "dead": "died",
    "cancelled": "cancelled",
    "running": "running",
    "interrupted": "interrupted",
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
        record: of its job; while that is not known, of one that stands for it and says why.
        place: 0 for the chosen trial, then 1, 2, ...; methods are paired by it, as else by seed.
        audit: column of the audit -> what it says of the search.
    """

    record: Record
    place: int
    audit: Mapping[str, str]


def resolve(store: Store, records: Sequence[Record]) -> tuple[list[Record], list[Run]]:
    """The jobs whose results tables show. Trials that were not chosen are not among them.

    Args:
        store: where the jobs lie.
        records: of the jobs.

    Returns:
        The jobs without a search, and the runs that each search reports.
    """
    plain = [record for record in records if not record.job.search]
    return plain, [run for search in searches(store, records) for run in runs_of(search)]


def runs_of(search: SearchProgress) -> list[Run]:
    """The chosen trial and its repeats; while none is chosen, as many stand-ins, so that tables show a hole."""
    first = next(iter(search.trials.values()), None)
    any_trial = first if search.chosen is None else search.trials[search.chosen]
    if any_trial is None:  # repeats alone, as after a merge of some jobs
        return []
    job = any_trial.job
    if search.chosen is None:
        broken = search.has_failed_trial or search.pruned_trials == len(search.trials)
        begun = any(record.state == "running" for record in search.trials.values())
        state = "failed" if broken else "running" if begun else "planned"
        records = [Record(job, state, search.why)]
    else:
        records = [any_trial]
    for index in range(search.trial.repeats):
        waiting = repeat_of(job, search.trial, index)
        reason = "" if search.chosen is not None else "waits for the search"
        records.append(search.repeats.get(index, Record(waiting, "planned", reason)))
    audit = {
        "search": describe_search(search),
        "drawn": "none is chosen yet",
        "search_seeds": "none are chosen yet",
    }
    if search.chosen is not None:
        audit["drawn"] = f"trial {search.chosen}: {search.drawn_parameters(search.chosen) or 'the defaults'}"
        audit["search_seeds"] = " ".join(str(record.job.seed) for record in records)
    return [
        Run(replace(record, job=replace(record.job, search=search.trial)), place, audit)
        for place, record in enumerate(records)
    ]


def repeat_of(chosen: Job, trial: Trial, index: int) -> Job:
    """A repeat of a trial: its configuration with a seed of its own.

    Args:
        chosen: the trial.
        trial: its part in the search.
        index: of the repeat, from 0.
    """
    seed = seed_of("repeat", index, seed_names(trial))
    return replace(chosen, seed=seed, search=replace(trial, role="repeat", index=index))


def seed_names(trial: Trial) -> tuple[str, ...]:
    """What makes the seeds of a search differ from those of another with the same method and data."""
    return (trial.sampler, trial.pruner, *trial.pinned, *_searched_rules(trial))


def size_label(trial: Trial) -> str:
    """The size of a search, ``1+10+2``: the default, the draws, the repeats."""
    return f"1+{trial.draws}+{trial.repeats}"


def protocol_suffix(trial: Trial | None) -> str:
    """What a search adds to the name of a protocol, so that rows of different budgets are not compared."""
    if trial is None:
        return ""
    how = "" if trial.sampler == "random" else f" by {trial.sampler}"
    rules = [name.removeprefix(RULE) for name in _searched_rules(trial)]
    over = f" over {'+'.join(rules)} too" if rules else ""
    pruner = "" if trial.pruner == "none" else f", {trial.pruner} pruner"
    return f", search {size_label(trial)}{over}{how}{pruner}"


def _searched_rules(trial: Trial) -> list[str]:
    """The fields of the protocol that a search draws, each with ``RULE`` before its name."""
    return [name for name in trial.searched if name.startswith(RULE)]


def describe_search(search: SearchProgress) -> str:
    """A search in one line, for the audit table."""
    parts = [size_label(search.trial), "chosen by source validation"]
    if not search.trial.searched:
        parts.append("nothing to search: the draws are seeds")
    if search.pruned_trials:
        parts.append(f"{search.pruned_trials} pruned")
    return ", ".join(parts)


def count_trials(progress: Iterable[SearchProgress]) -> Counter[str]:
    """The numbers of ``trials`` and ``repeats``, and of searches that are ``chosen``, ``broken`` or ``open``."""
    counts: Counter[str] = Counter()
    for one in progress:
        counts["trials"] += len(one.trials)
        counts["repeats"] += len(one.repeats)
        counts["chosen" if one.chosen is not None else "broken" if one.has_failed_trial else "open"] += 1
    return counts
