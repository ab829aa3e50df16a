"""The plan of an experiment: its jobs, and which of them are done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..core.job import Job
from ..core.registry import find
from ..planning.companions import companions
from ..planning.evaluations import Evaluation, evaluations_for, evaluations_of
from ..planning.experiment import Experiment
from ..planning.job_matrix import jobs_of
from ..planning.loggers import check_loggers
from ..search.study import StudyProgress, progress_of, studies_of, unfinished_jobs
from ..store.store import Store
from .estimate import Estimate, estimate, finished_jobs


@dataclass(frozen=True)
class Plan:
    """The jobs of an experiment, and which of them are done.

    Attributes:
        experiment: the experiment.
        jobs: its networks, after the companions that those which are not trained yet need; of a search, those that are
            drawn by now.
        done: the jobs that are trained and tested.
        todo: the other jobs, without trials that were pruned.
        evaluations: what networks are tested under beyond clean data and missing modalities; in a search, only the
            networks that it chooses.
        searches: the progress of each of its searches.
    """

    experiment: Experiment
    jobs: tuple[Job, ...]
    done: tuple[Job, ...]
    todo: tuple[Job, ...]
    evaluations: tuple[Evaluation, ...] = ()
    searches: tuple[StudyProgress, ...] = ()

    @property
    def networks(self) -> int:
        """The number of networks, with those of a search that are not drawn yet."""
        return sum(progress.study.size for progress in self.searches) or len(self.jobs)

    @property
    def pruned_trials(self) -> int:
        """The number of trials that were ended early, and need no more training."""
        return sum(progress.search.pruned_trials for progress in self.searches)

    @property
    def remaining(self) -> int:
        """The number of networks that are yet to be trained or tested, drawn or not."""
        return self.networks - len(self.done) - self.pruned_trials

    @property
    def failures(self) -> int:
        """The number of remaining jobs that failed or were cancelled before."""
        if self.searches:
            return sum(
                trial.state in ("failed", "cancelled")
                for progress in self.searches
                for trial in progress.search.trials.values()
            )
        return sum(self.store.record(job).state in ("failed", "cancelled") for job in self.todo)

    def estimate(self) -> Estimate:
        """Estimated time and disk space of the remaining jobs, from finished ones of the store."""
        sizes = [(job, 1) for job in self.todo]
        for progress in self.searches:  # trials that are not drawn yet are taken to be like the known ones
            sizes.append((progress.study.row.job, progress.study.size - len(progress.jobs)))
        return estimate(sizes, finished_jobs(self.store))

    @property
    def store(self) -> Store:
        """The store of its results."""
        return Store(self.experiment.store)


def plan(experiment: Experiment) -> Plan:
    """Finds the jobs of an experiment, and which of them are done. Nothing is run or written.

    Raises:
        UsageError: the experiment names something that does not exist.
        DataError: data are not there, or not described as they should be.
    """
    find("launcher", experiment.launcher, tuple(experiment.plugins))  # an unknown name is an error at once
    check_loggers(experiment.logger)
    store = Store(experiment.store)
    evaluations = evaluations_of(experiment)
    if experiment.search:
        return _plan_of_searches(experiment, progress_of(studies_of(experiment), store), evaluations)
    networks = jobs_of(experiment)
    jobs = [*companions_of(networks, store), *networks]

    def is_done(job: Job) -> bool:
        names = {evaluation.name for evaluation in evaluations_for(evaluations, job)}
        return store.job(job.id).is_done() and (not names or names <= set(store.job(job.id).evaluations()))

    done = tuple(job for job in jobs if is_done(job))
    done_ids = {job.id for job in done}
    todo = tuple(job for job in jobs if job.id not in done_ids)
    return Plan(experiment, tuple(jobs), done, todo, evaluations)


def _plan_of_searches(
    experiment: Experiment, searches: Sequence[StudyProgress], evaluations: tuple[Evaluation, ...]
) -> Plan:
    """The plan of an experiment that searches.

    Args:
        experiment: the experiment.
        searches: the progress of each of its searches.
        evaluations: what the chosen networks are tested under.
    """
    store = Store(experiment.store)
    jobs = tuple(job for progress in searches for job in progress.jobs)
    todo = tuple(job for progress in searches for job in unfinished_jobs(progress, store, evaluations))
    trials = [trial for progress in searches for trial in progress.search.trials.values()]
    not_done = {job.id for job in todo} | {trial.job.id for trial in trials if trial.state == "pruned"}
    done = tuple(job for job in jobs if job.id not in not_done)
    return Plan(experiment, jobs, done, todo, evaluations, tuple(searches))


def companions_of(jobs: Sequence[Job], store: Store) -> list[Job]:
    """The companions, each once, that networks which are not trained yet need.

    Args:
        jobs: the networks.
        store: their results.
    """
    untrained = [job for job in jobs if not store.job(job.id).is_done()]
    return list({one.id: one for job in untrained for one in companions(job)}.values())


def counts(planned: Plan) -> dict[str, dict[str, int]]:
    """The number of networks along each axis of a plan: axis -> value -> number."""
    axes: dict[str, Callable[[Job], str]] = {
        "method": lambda job: job.label,
        "task": lambda job: job.task,
        "modalities": lambda job: job.modality_set,
        "seed": lambda job: str(job.seed),
    }
    if any(job.fold for job in planned.jobs):
        axes["division"] = lambda job: job.fold.rule if job.fold else "none"
    sizes = [(job, 1) for job in planned.jobs]
    if planned.searches:
        del axes["seed"]
        sizes = [(progress.study.row.job, progress.study.size) for progress in planned.searches]
    numbers: dict[str, dict[str, int]] = {axis: {} for axis in axes}
    for axis, value in axes.items():
        for job, size in sizes:
            numbers[axis][value(job)] = numbers[axis].get(value(job), 0) + size
    return numbers
