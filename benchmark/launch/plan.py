"""What an experiment asks for, and what of it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..core.job import Job
from ..core.registry import find
from ..planning.companions import companions
from ..planning.evaluations import Evaluation, evaluations_for, evaluations_of
from ..planning.experiment import Experiment
from ..planning.job_matrix import jobs_of
from ..search.study import StudyProgress, progress_of, studies_of, unfinished_jobs
from ..store.store import Store
from .estimate import Estimate, estimate, finished


@dataclass(frozen=True)
class Plan:
    """What an experiment asks for, and what of it is done.

    Attributes:
        experiment: what is asked for.
        jobs: its networks, after the companions that those to be trained need; of a search, those that are known
            by now.
        done, todo: which of them are done, and which are not. A trial that was pruned is neither.
        evaluations: what networks are tested under beyond clean and missing modalities; of a search, those that
            are chosen.
        searches: how far each of its searches is.
    """

    experiment: Experiment
    jobs: tuple[Job, ...]
    done: tuple[Job, ...]
    todo: tuple[Job, ...]
    evaluations: tuple[Evaluation, ...] = ()
    searches: tuple[StudyProgress, ...] = ()

    @property
    def networks(self) -> int:
        """How many networks it needs, with those of a search that are not drawn yet."""
        return sum(course.study.size for course in self.searches) or len(self.jobs)

    @property
    def pruned(self) -> int:
        """Trials that were ended early, and need no more training."""
        return sum(course.search.pruned for course in self.searches)

    @property
    def left(self) -> int:
        """How many networks are yet to be trained or tested, drawn or not."""
        return self.networks - len(self.done) - self.pruned

    @property
    def failed(self) -> int:
        """How many of the remaining jobs failed or were cancelled before."""
        if self.searches:
            return sum(
                one.state in ("failed", "cancelled")
                for course in self.searches
                for one in course.search.trials.values()
            )
        return sum(self.store.record(job).state in ("failed", "cancelled") for job in self.todo)

    def estimate(self) -> Estimate:
        """Estimated time and disk space of the remaining jobs, from finished ones of the store."""
        sizes = [(job, 1) for job in self.todo]
        for course in self.searches:  # trials that are not drawn yet are like the known ones
            sizes.append((course.study.row.job, course.study.size - len(course.jobs)))
        return estimate(sizes, finished(self.store))

    @property
    def store(self) -> Store:
        """Where the results go."""
        return Store(self.experiment.store)


def plan(experiment: Experiment) -> Plan:
    """Finds the jobs of an experiment, and which of them are done. Nothing is run or written.

    Raises:
        UsageError: something is asked for that does not exist.
        DataError: data are not there, or not described as they should be.
    """
    find(
        "launcher", experiment.launcher, tuple(experiment.plugins)
    )  # a name that is not known is said at once
    store = Store(experiment.store)
    evaluations = evaluations_of(experiment)
    if experiment.search:
        return _plan_of_searches(experiment, progress_of(studies_of(experiment), store), evaluations)
    asked = jobs_of(experiment)
    jobs = [*companions_of(asked, store), *asked]

    def is_done(job: Job) -> bool:
        names = {evaluation.name for evaluation in evaluations_for(evaluations, job)}
        return store.job(job.id).is_done() and (not names or names <= set(store.job(job.id).evaluations()))

    done = tuple(job for job in jobs if is_done(job))
    finished = {job.id for job in done}
    todo = tuple(job for job in jobs if job.id not in finished)
    return Plan(experiment, tuple(jobs), done, todo, evaluations)


def _plan_of_searches(
    experiment: Experiment, searches: Sequence[StudyProgress], evaluations: tuple[Evaluation, ...]
) -> Plan:
    store = Store(experiment.store)
    jobs = tuple(job for course in searches for job in course.jobs)
    todo = tuple(job for course in searches for job in unfinished_jobs(course, store, evaluations))
    over = {job.id for job in todo}
    over |= {r.job.id for course in searches for r in course.search.trials.values() if r.state == "pruned"}
    done = tuple(job for job in jobs if job.id not in over)
    return Plan(experiment, jobs, done, todo, evaluations, tuple(searches))


def companions_of(jobs: Sequence[Job], store: Store) -> list[Job]:
    """The companions, each once, that networks which are not trained yet need.

    Args:
        jobs: the networks.
        store: which tells what is trained.
    """
    untrained = [job for job in jobs if not store.job(job.id).is_done()]
    return list({one.id: one for job in untrained for one in companions(job)}.values())


def counts(planned: Plan) -> dict[str, dict[str, int]]:
    """Axis -> value -> number of networks."""
    axes: dict[str, Callable[[Job], str]] = {
        "method": lambda job: job.label,
        "task": lambda job: job.task,
        "modalities": lambda job: job.modality_set,
        "seed": lambda job: str(job.seed),
    }
    sizes = [(job, 1) for job in planned.jobs]
    if planned.searches:
        del axes["seed"]
        sizes = [(course.study.row.job, course.study.size) for course in planned.searches]
    numbers: dict[str, dict[str, int]] = {axis: {} for axis in axes}
    for axis, value in axes.items():
        for job, size in sizes:
            numbers[axis][value(job)] = numbers[axis].get(value(job), 0) + size
    return numbers
