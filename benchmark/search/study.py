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
from ..core.job import Job, Trial
from ..planning.evaluations import Evaluation, evaluations_for
from ..planning.experiment import Experiment
from ..planning.job_matrix import MatrixRow, matrix_rows
from ..store.job_folder import Record
from ..store.store import Store
from .sampling import draw, seed_of
from .trials import Found, name_of, repeat_of, search_of, seed_names

#: The first trials, the default among them, are always our own draws and always trained to the end: what a sampler
#: that learns begins from, and what a pruner compares with.
STARTUP = 5


@dataclass(frozen=True)
class Study:
    """One search: of a method, on a task, with a modality set.

    Attributes:
        row: what it is of.
        trial: the part in it of trial 0.
    """

    row: MatrixRow
    trial: Trial

    @property
    def size(self) -> int:
        """Networks that it needs."""
        return 1 + self.trial.draws + self.trial.repeats

    @property
    def learns(self) -> bool:
        """Whether later draws follow from what was found before."""
        return self.trial.sampler != "random" and bool(self.row.searched)

    def named(self, index: int) -> Job:
        """A trial with our own draw."""
        method = self.row.job.method
        drawn = {item.name: draw(item, method, index) for item in self.row.searched} if index else {}
        return self.job(index, drawn)

    def job(self, index: int, drawn: Mapping[str, Any]) -> Job:
        """A trial with given parameters."""
        return replace(
            self.row.job,
            params={**self.row.job.params, **drawn},
            seed=seed_of("trial", index, seed_names(self.trial)),
            search=replace(self.trial, index=index),
        )

    def trials(self, known: Mapping[int, Job]) -> list[Job]:
        """The trials that are known, from the first to the last before one that is yet to be drawn.

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
                jobs.append(self.named(index))
        return jobs


#: Gives the next trial of a search that learns, from what was found so far.
Ask = Callable[[Study, Found], Mapping[str, Any]]


@dataclass(frozen=True)
class Course:
    """How far a study is.

    Attributes:
        study: the study.
        trials: those that are known.
        found: what came of them.
        runs: the chosen trial and its repeats; none while none is chosen.
    """

    study: Study
    trials: tuple[Job, ...]
    found: Found
    runs: tuple[Job, ...]

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Every network that is known by now."""
        return (*self.trials, *self.runs[1:])


@dataclass(frozen=True)
class Wave:
    """Jobs that can be trained at once.

    Attributes:
        jobs: trials, or chosen trials and repeats.
        final: whether they are the latter, which are tested under all conditions.
        rivals: job -> those that a pruner compares it with.
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
        names = tuple(item.name for item in row.searched)
        part = Trial("trial", 0, **options.model_dump(), searched=names, pinned=row.pinned)
        studies.setdefault((row.job.id, names), Study(row, part))
    return list(studies.values())


def courses(studies: Sequence[Study], store: Store) -> list[Course]:
    """How far the studies are in a store.

    Raises:
        UsageError: the store holds more draws of one: what tables say of it would be another search.
    """
    there = store.jobs_folder.is_dir()
    known = _written(studies, store) if there and any(study.learns for study in studies) else {}
    found = []
    for study in studies:
        written = known.get(name_of(study.named(0)), {}) if study.learns else {}
        beyond = study.trial.draws + 1
        if beyond in written or (there and store.job(study.named(beyond).id).path.is_dir()):
            job = study.row.job
            raise UsageError(
                f"store {store.path} holds a search of {job.label} on {job.task} with more draws than "
                f"{study.trial.draws}: ask for as many with --draws, or name another with --store"
            )
        trials = study.trials(written)
        so_far = search_of(store, [store.record(job) for job in trials])
        runs: list[Job] = []
        if so_far.chosen is not None:
            best = so_far.trials[so_far.chosen].job
            runs = [best, *(repeat_of(best, study.trial, index) for index in range(study.trial.repeats))]
        found.append(Course(study, tuple(trials), so_far, tuple(runs)))
    return found


def _written(studies: Sequence[Study], store: Store) -> dict[str, dict[int, Job]]:
    """Search -> index -> trial, of all trials of these methods in a store."""
    methods = {study.row.job.method for study in studies if study.learns}
    known: dict[str, dict[int, Job]] = defaultdict(dict)
    for record in store:
        job = record.job
        if job.search and job.search.role == "trial" and job.method in methods:
            known[name_of(job)].setdefault(job.search.index, job)
    return known


def is_ended(record: Record) -> bool:
    """Whether a trial needs no more training."""
    return record.state in ("done", "pruned")


def lacking(course: Course, store: Store, evaluations: tuple[Evaluation, ...]) -> list[Job]:
    """The known networks of a study that are not done yet, evaluations of those that are chosen included."""
    trials = [job for job in course.trials if not is_ended(course.found.trials[_index(job)])]
    runs = []
    for job in course.runs:
        asked = {evaluation.name for evaluation in evaluations_for(evaluations, job)}
        if not store.job(job.id).is_done() or not asked <= set(
            store.job(job.id).evaluations() if asked else ()
        ):
            runs.append(job)
    return trials + runs


def next_wave(
    courses: Sequence[Course],
    store: Store,
    evaluations: tuple[Evaluation, ...],
    tried: Collection[tuple[str, bool]],
    ask: Ask,
) -> Wave:
    """What can be trained now: trials of all studies, and once no study has any, all repeats.

    Args:
        courses: how far the studies are.
        store: the store.
        evaluations: what chosen networks are tested under.
        tried: jobs that were run already, and whether in a final wave; none is run twice, and a study that goes by
            what was found before stands still at a trial that did not end well.
        ask: see ``Ask``.
    """
    trials: list[Job] = []
    rivals: dict[str, tuple[str, ...]] = {}
    runs: list[Job] = []
    for course in courses:
        own = _next_trials(course, tried, ask)
        trials += own
        if course.study.trial.pruner != "none":
            first = tuple(job.id for job in course.trials[:STARTUP])
            rivals |= {job.id: first for job in own if _index(job) >= STARTUP}
        if not own and course.runs:
            lacks = lacking(course, store, evaluations)
            runs += [job for job in lacks if (job.id, True) not in tried]
    return Wave(tuple(trials), False, rivals) if trials else Wave(tuple(runs), True, {})


def _next_trials(course: Course, tried: Collection[tuple[str, bool]], ask: Ask) -> list[Job]:
    in_turn = course.study.learns or course.study.trial.pruner != "none"
    missing = [job for job in course.trials if not is_ended(course.found.trials[_index(job)])]
    fresh = [job for job in missing if (job.id, False) not in tried]
    if len(fresh) < len(missing):
        return [] if in_turn else fresh
    if in_turn:
        first = [job for job in missing if _index(job) < STARTUP]
        missing = first or missing
    if missing or len(course.trials) > course.study.trial.draws:
        return missing
    return [course.study.job(len(course.trials), ask(course.study, course.found))]


def _index(job: Job) -> int:
    assert job.search is not None
    return job.search.index
