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
        """How many networks it needs, those of a search that nobody knows yet included."""
        return sum(course.study.size for course in self.searches) or len(self.jobs)

    @property
    def pruned(self) -> int:
        """Trials that were ended early, and need no more training."""
        return sum(course.search.pruned for course in self.searches)

    @property
    def left(self) -> int:
        """Networks that are yet to be trained or tested, known or not."""
        return self.networks - len(self.done) - self.pruned

    @property
    def failed(self) -> int:
        """Of what is to do, how many failed before."""
        if self.searches:
            return sum(
                one.state in ("failed", "cancelled")
                for course in self.searches
                for one in course.search.trials.values()
            )
        return sum(self.store.record(job).state in ("failed", "cancelled") for job in self.todo)

    def estimate(self) -> Estimate:
        """What is to do will take, from the finished jobs of the store."""
        sizes = [(job, 1) for job in self.todo]
        for course in self.searches:  # what of a search nobody knows yet is like what is known
            sizes.append((course.study.row.job, course.study.size - len(course.jobs)))
        return estimate(sizes, finished(self.store))

    @property
    def store(self) -> Store:
        """Where the results go."""
        return Store(self.experiment.store)


def plan(experiment: Experiment) -> Plan:
    """The jobs of an experiment, without running or writing anything.

    Raises:
        UsageError: something is asked for that does not exist.
        DataError: data that is not there, or not described as it should be.
    """
    find(
        "launcher", experiment.launcher, tuple(experiment.plugins)
    )  # a name that is not known is said at once
    store = Store(experiment.store)
    evaluations = evaluations_of(experiment)
    if experiment.search:
        return _of_searches(experiment, progress_of(studies_of(experiment), store), evaluations)
    asked = jobs_of(experiment)
    jobs = [*companions_of(asked, store), *asked]

    def is_done(job: Job) -> bool:
        names = {evaluation.name for evaluation in evaluations_for(evaluations, job)}
        return store.job(job.id).is_done() and (not names or names <= set(store.job(job.id).evaluations()))

    done = tuple(job for job in jobs if is_done(job))
    finished = {job.id for job in done}
    todo = tuple(job for job in jobs if job.id not in finished)
    return Plan(experiment, tuple(jobs), done, todo, evaluations)


def _of_searches(
    experiment: Experiment, found: Sequence[StudyProgress], evaluations: tuple[Evaluation, ...]
) -> Plan:
    store = Store(experiment.store)
    jobs = tuple(job for course in found for job in course.jobs)
    todo = tuple(job for course in found for job in unfinished_jobs(course, store, evaluations))
    over = {job.id for job in todo}
    over |= {r.job.id for course in found for r in course.search.trials.values() if r.state == "pruned"}
    done = tuple(job for job in jobs if job.id not in over)
    return Plan(experiment, jobs, done, todo, evaluations, tuple(found))


def companions_of(jobs: Sequence[Job], store: Store) -> list[Job]:
    """What networks that are not trained yet need beside them, each once."""
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
    found: dict[str, dict[str, int]] = {axis: {} for axis in axes}
    for axis, value in axes.items():
        for job, size in sizes:
            found[axis][value(job)] = found[axis].get(value(job), 0) + size
    return found
