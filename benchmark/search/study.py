"""The search of hyper-parameters: which networks it needs, and which of them can be trained next.

For every row of the tables: one trial with the defaults and ``draws`` more, each with a seed of its own; the best
by source validation again with ``repeats`` seeds. Trials are jobs like any other. Imports neither torch nor Optuna.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..core.errors import UsageError
from ..core.job import RULE, Job, Trial
from ..planning.evaluations import Evaluation, evaluations_for
from ..planning.experiment import Experiment
from ..planning.job_matrix import MatrixRow, matrix_rows
from ..store.job_folder import Record
from ..store.store import Store
from .sampling import draw, seed_of
from .trials import SearchProgress, repeat_of, search_name, search_of, seed_names

#: The first trials, the default among them, are always our own draws and always trained to the end: what a sampler
#: that learns begins from, and what a pruner compares with.
STARTUP = 5


@dataclass(frozen=True)
class Study:
    """One search: of a method, on a task, with a modality set.

    Attributes:
        row: the method, task and modality set.
        trial: the part of trial 0 in it.
    """

    row: MatrixRow
    trial: Trial

    @property
    def size(self) -> int:
        """The number of networks that the search needs."""
        return 1 + self.trial.draws + self.trial.repeats

    @property
    def learns(self) -> bool:
        """Whether later draws follow from earlier trials."""
        return self.trial.sampler != "random" and bool(self.row.searched)

    def sampled_job(self, index: int) -> Job:
        """The job of a trial whose parameters are our own draw, which depends on its index alone."""
        method = self.row.job.method
        drawn = {}
        if index:
            for item in self.row.searched:
                # a draw of the protocol is the same for every method, so that trials of one index are alike
                drawn[item.name] = draw(item, "" if item.name.startswith(RULE) else method, index)
        return self.job(index, drawn)

    def job(self, index: int, drawn: Mapping[str, Any]) -> Job:
        """The job of a trial.

        Args:
            index: of the trial.
            drawn: the searched parameters with their values; those that are left out have their defaults.
        """
        return replace(
            self.row.job.with_values(drawn),
            seed=seed_of("trial", index, seed_names(self.trial)),
            search=replace(self.trial, index=index),
        )

    def trials(self, known: Mapping[int, Job]) -> list[Job]:
        """The trials whose parameters are known: the first ones, up to one that is yet to be drawn.

        Args:
            known: index -> trial that is written down in the store; needed where the search learns.
        """
        jobs = []
        for index in range(1 + self.trial.draws):
            if self.learns and index >= STARTUP:
                if index not in known:
                    break
                jobs.append(replace(known[index], search=replace(self.trial, index=index)))
            else:
                jobs.append(self.sampled_job(index))
        return jobs


#: Draws the next trial of a search that learns from earlier trials.
Ask = Callable[[Study, SearchProgress], Mapping[str, Any]]


@dataclass(frozen=True)
class StudyProgress:
    """The progress of a study.

    Attributes:
        study: the study.
        trials: its trials whose parameters are known.
        search: their states and scores.
        runs: the chosen trial and its repeats; empty while none is chosen.
    """

    study: Study
    trials: tuple[Job, ...]
    search: SearchProgress
    runs: tuple[Job, ...]

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Every job whose parameters are known by now."""
        return (*self.trials, *self.runs[1:])


@dataclass(frozen=True)
class Wave:
    """Jobs that can be trained at once.

    Attributes:
        jobs: trials, or chosen trials and repeats.
        final: whether they are chosen trials and repeats, which are tested under all conditions.
        rivals: id of a job -> ids of the trials that a pruner compares it with.
    """

    jobs: tuple[Job, ...]
    final: bool
    rivals: Mapping[str, tuple[str, ...]]


def studies_of(experiment: Experiment) -> list[Study]:
    """The searches of an experiment.

    Raises:
        UsageError, DataError: as ``jobs_of``; or a parameter is searched without a range.
    """
    options = experiment.search
    assert options is not None
    studies: dict[tuple, Study] = {}
    for row in matrix_rows(experiment):
        for item in row.searched:
            search = item.search or {}
            if not search["choices"] and (search["low"] is None or search["high"] is None):
                raise UsageError(
                    f"method {row.job.method}: {item.name} is searched without choices and without low and high"
                )
            if search["log"] and search["low"] <= 0:
                raise UsageError(
                    f"method {row.job.method}: {item.name} has a logarithmic range from {search['low']}: "
                    "it has to begin above 0"
                )
        names = tuple(item.name for item in row.searched)
        part = Trial("trial", 0, **options.model_dump(exclude={"rules"}), searched=names, pinned=row.pinned)
        studies.setdefault((row.job.id, names), Study(row, part))
    return list(studies.values())


def progress_of(studies: Sequence[Study], store: Store) -> list[StudyProgress]:
    """The progress of studies in a store.

    Args:
        studies: those of an experiment.
        store: where their jobs lie.

    Raises:
        UsageError: the store holds more draws of one, so that its tables would describe another search.
    """
    there = store.jobs_folder.is_dir()
    known = _stored_trials(studies, store) if there and any(study.learns for study in studies) else {}
    progress = []
    for study in studies:
        written = known.get(search_name(study.sampled_job(0)), {}) if study.learns else {}
        beyond = study.trial.draws + 1
        if beyond in written or (there and store.job(study.sampled_job(beyond).id).path.is_dir()):
            job = study.row.job
            raise UsageError(
                f"store {store.path} holds a search of {job.label} on {job.task} with more draws than "
                f"{study.trial.draws}: ask for as many with --draws, or name another with --store"
            )
        trials = study.trials(written)
        search = search_of(store, [store.record(job) for job in trials])
        runs: list[Job] = []
        if search.chosen is not None:
            best = search.trials[search.chosen].job
            runs = [best, *(repeat_of(best, study.trial, index) for index in range(study.trial.repeats))]
        progress.append(StudyProgress(study, tuple(trials), search, tuple(runs)))
    return progress


def _stored_trials(studies: Sequence[Study], store: Store) -> dict[str, dict[int, Job]]:
    """Search -> index -> trial, of all trials of these methods in a store."""
    methods = {study.row.job.method for study in studies if study.learns}
    known: dict[str, dict[int, Job]] = defaultdict(dict)
    for record in store:
        job = record.job
        if job.search and job.search.role == "trial" and job.method in methods:
            known[search_name(job)].setdefault(job.search.index, job)
    return known


def is_ended(record: Record) -> bool:
    """Whether a trial needs no more training."""
    return record.state in ("done", "pruned")


def unfinished_jobs(progress: StudyProgress, store: Store, evaluations: tuple[Evaluation, ...]) -> list[Job]:
    """The jobs of a study that are not done yet; chosen ones also where an evaluation is missing.

    Args:
        progress: how far the study is.
        store: where its jobs lie.
        evaluations: what chosen networks are tested under.
    """
    trials = [job for job in progress.trials if not is_ended(progress.search.trials[_index(job)])]
    runs = []
    for job in progress.runs:
        names = {evaluation.name for evaluation in evaluations_for(evaluations, job)}
        if not store.job(job.id).is_done() or not names <= set(
            store.job(job.id).evaluations() if names else ()
        ):
            runs.append(job)
    return trials + runs


def next_wave(
    studies: Sequence[StudyProgress],
    store: Store,
    evaluations: tuple[Evaluation, ...],
    tried: Collection[tuple[str, bool]],
    ask: Ask,
) -> Wave:
    """The jobs that can be trained now: trials of all studies, and once no study has any, all repeats.

    Args:
        studies: how far each study is.
        store: the store.
        evaluations: what chosen networks are tested under.
        tried: ids of jobs that were run already, and whether in a final wave. None is run twice, and a study whose
            trials depend on earlier ones waits at a trial that did not end well.
        ask: see ``Ask``.
    """
    trials: list[Job] = []
    rivals: dict[str, tuple[str, ...]] = {}
    runs: list[Job] = []
    for progress in studies:
        own = _next_trials(progress, tried, ask)
        trials += own
        if progress.study.trial.pruner != "none":
            first = tuple(job.id for job in progress.trials[:STARTUP])
            rivals |= {job.id: first for job in own if _index(job) >= STARTUP}
        if not own and progress.runs:
            lacks = unfinished_jobs(progress, store, evaluations)
            runs += [job for job in lacks if (job.id, True) not in tried]
    return Wave(tuple(trials), False, rivals) if trials else Wave(tuple(runs), True, {})


def _next_trials(progress: StudyProgress, tried: Collection[tuple[str, bool]], ask: Ask) -> list[Job]:
    """The trials of a study that can be trained now; arguments as of ``next_wave``."""
    in_turn = progress.study.learns or progress.study.trial.pruner != "none"
    missing = [job for job in progress.trials if not is_ended(progress.search.trials[_index(job)])]
    fresh = [job for job in missing if (job.id, False) not in tried]
    if len(fresh) < len(missing):
        return [] if in_turn else fresh
    if in_turn:
        first = [job for job in missing if _index(job) < STARTUP]
        missing = first or missing
    if missing or len(progress.trials) > progress.study.trial.draws:
        return missing
    return [progress.study.job(len(progress.trials), ask(progress.study, progress.search))]


def _index(job: Job) -> int:
    assert job.search is not None
    return job.search.index
