"""Runs an experiment: what is done stays, what is missing is trained."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ..core.environment import code_version, cores, gpu_names
from ..core.errors import UsageError
from ..core.job import COMPANION, Job
from ..core.locate import locate
from ..core.strings import as_values
from ..planning.companions import companions
from ..planning.data_check import check
from ..planning.evaluations import Evaluation, check_evaluations, of_job, wanted
from ..planning.experiment import Experiment
from ..planning.history import remember, remembered
from ..planning.job_matrix import jobs_of
from ..search.study import Course, Wave, courses, lacking, next_wave, studies_of
from ..store.store import Store
from ..train.context import Context, Outcome
from .estimate import Estimate, estimate, finished
from .local_pool import Executor, InProcess, Listener, LocalPool

if TYPE_CHECKING:
    from ...slurm.executor import Slurm

#: Shows how jobs that are run together get on, while its block runs.
Showing = Callable[[Sequence[Job]], AbstractContextManager[Listener]]


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
        courses: its searches.
    """

    experiment: Experiment
    jobs: tuple[Job, ...]
    done: tuple[Job, ...]
    todo: tuple[Job, ...]
    evaluations: tuple[Evaluation, ...] = ()
    courses: tuple[Course, ...] = ()

    @property
    def networks(self) -> int:
        """How many networks it needs, those of a search that nobody knows yet included."""
        return sum(course.study.size for course in self.courses) or len(self.jobs)

    @property
    def pruned(self) -> int:
        """Trials that were ended early, and need no more training."""
        return sum(course.found.pruned for course in self.courses)

    @property
    def left(self) -> int:
        """Networks that are yet to be trained or tested, known or not."""
        return self.networks - len(self.done) - self.pruned

    @property
    def failed(self) -> int:
        """Of what is to do, how many failed before."""
        if self.courses:
            return sum(
                one.state in ("failed", "cancelled")
                for course in self.courses
                for one in course.found.trials.values()
            )
        return sum(self.store.record(job).state in ("failed", "cancelled") for job in self.todo)

    def estimate(self) -> Estimate:
        """What is to do will take, from the finished jobs of the store."""
        sizes = [(job, 1) for job in self.todo]
        for course in self.courses:  # what of a search nobody knows yet is like what is known
            sizes.append((course.study.row.job, course.study.size - len(course.jobs)))
        return estimate(sizes, finished(self.store))

    @property
    def store(self) -> Store:
        """Where the results go."""
        return Store(self.experiment.store)


@dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
        planned: jobs of the experiment, with their companions.
        done: of these, now done.
        pruned: trials of a search that were ended early.
        failed: those that failed, with their reasons.
    """

    planned: int
    done: int
    failed: tuple[Outcome, ...]
    pruned: int = 0

    @property
    def ok(self) -> bool:
        """Whether every job is done, or a trial that was ended early."""
        return self.done + self.pruned == self.planned


def plan(experiment: Experiment) -> Plan:
    """The jobs of an experiment, without running or writing anything.

    Raises:
        UsageError: something is asked for that does not exist.
        DataError: data that is not there, or not described as it should be.
    """
    store = Store(experiment.store)
    evaluations = wanted(experiment)
    if experiment.search:
        return _of_courses(experiment, courses(studies_of(experiment), store), evaluations)
    asked = jobs_of(experiment)
    jobs = [*companions_of(asked, store), *asked]

    def is_done(job: Job) -> bool:
        names = {evaluation.name for evaluation in of_job(evaluations, job)}
        return store.job(job.id).is_done() and (not names or names <= set(store.job(job.id).evaluations()))

    done = tuple(job for job in jobs if is_done(job))
    finished = {job.id for job in done}
    todo = tuple(job for job in jobs if job.id not in finished)
    return Plan(experiment, tuple(jobs), done, todo, evaluations)


def _of_courses(experiment: Experiment, found: Sequence[Course], evaluations: tuple[Evaluation, ...]) -> Plan:
    store = Store(experiment.store)
    jobs = tuple(job for course in found for job in course.jobs)
    todo = tuple(job for course in found for job in lacking(course, store, evaluations))
    over = {job.id for job in todo}
    over |= {r.job.id for course in found for r in course.found.trials.values() if r.state == "pruned"}
    done = tuple(job for job in jobs if job.id not in over)
    return Plan(experiment, jobs, done, todo, evaluations, tuple(found))


def run(
    experiment: Experiment | Plan, listener: Listener | None = None, showing: Showing | None = None
) -> Summary:
    """Trains and evaluates every job that is not done, and writes the results to the experiment's store.

    Interrupted, it can be called again and goes on with what is missing.

    Args:
        experiment: what to run, or its plan.
        listener: called with each outcome as it comes.
        showing: gives another listener for jobs that are run together; a search runs them in several waves.

    Raises:
        UsageError, DataError: see ``plan``; nothing was written then.
    """
    planned = experiment if isinstance(experiment, Plan) else plan(experiment)
    on_slurm = planned.experiment.launcher == "slurm"
    gpus = () if on_slurm else devices(planned.experiment.device)
    executor = executor_for(planned.experiment, gpus, planned.left)
    check_data(planned, gpus)
    planned.store.add(planned.jobs)
    for job in planned.done:
        planned.store.job(job.id).tidy()
    if planned.left:
        remember(planned.experiment)
    failed: list[Outcome] = []
    for wave in _waves(planned, failed):
        planned.store.add(wave.jobs)
        context = context_for(planned, gpus, wave)
        with showing(wave.jobs) if showing else nullcontext(listener) as told:
            for outcome in executor.run(wave.jobs, context):
                if not outcome.ok:
                    failed.append(outcome)
                if told:
                    told(outcome)
    if planned.courses:
        ended = plan(planned.experiment)
        return Summary(ended.networks, len(ended.done), tuple(failed), ended.pruned)
    return Summary(len(planned.jobs), len(planned.jobs) - len(failed), tuple(failed))


def _waves(planned: Plan, failed: Sequence[Outcome]) -> Iterator[Wave]:
    """What is run together, one wave after the other. Without a search it is one.

    Args:
        planned: the plan.
        failed: what failed so far; it grows while the waves are run.
    """
    if not planned.courses:
        for jobs in in_order(planned.todo):
            yield Wave(tuple(jobs), True, {})
        return
    from ..search.optuna_study import ask, keep

    store, tried = planned.store, set[tuple[str, bool]]()
    found = planned.courses
    while True:
        keep(store, found)
        wave = next_wave(found, store, planned.evaluations, tried, partial(ask, store))
        if not wave.jobs:
            return
        tried |= {(job.id, wave.final) for job in wave.jobs}
        first = companions_of(wave.jobs, store)
        if first:
            yield Wave(tuple(first), False, {})
        yield wave
        found = courses([course.study for course in found], store)


def companions_of(jobs: Sequence[Job], store: Store) -> list[Job]:
    """What networks that are not trained yet need beside them, each once."""
    untrained = [job for job in jobs if not store.job(job.id).is_done()]
    return list({one.id: one for job in untrained for one in companions(job)}.values())


def in_order(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs in the order in which they can be run: companions, then those that read what they saw."""
    first = [job for job in jobs if job.role == COMPANION]
    then = [job for job in jobs if job.role != COMPANION]
    return [wave for wave in (first, then) if wave]


def again(store: Store, jobs: Collection[str], slurm: str | None, launcher: str | None) -> list[Plan]:
    """Plans of just these jobs, by the newest run that asked for each.

    Args:
        store: where they are.
        jobs: their ids.
        slurm: what is to be asked of SLURM in place of what was.
        launcher: in place of what was.
    """
    left, plans = set(jobs), []
    for file in remembered(store):
        if not left:
            break
        experiment = Experiment.load(file, {"store": store.path})
        changes: dict[str, object] = {"launcher": launcher} if launcher else {}
        if slurm:
            changes["slurm"] = {**experiment.slurm, **as_values(slurm)}
        experiment = Experiment.load(file, {"store": store.path, **changes})
        planned = plan(experiment)
        mine = tuple(job for job in planned.jobs if job.id in left)
        if mine:
            todo = tuple(job for job in planned.todo if job.id in left)
            plans.append(replace(planned, jobs=mine, done=(), todo=todo, courses=()))
            left -= {job.id for job in mine}
    return plans


def check_data(planned: Plan, gpus: tuple[str, ...]) -> None:
    """Reads data that were not read before, and looks whether they can be tested as asked for on such a device.

    Raises:
        DataError: data are faulty or do not go together.
        UsageError: see ``check_evaluations`` and ``check_media``.
    """
    experiment = planned.experiment
    plugins = tuple(experiment.plugins)
    names = sorted({item.name for job in planned.todo for item in job.data})
    located = {name: locate(name, experiment.root, experiment.data, plugins) for name in names}
    check_evaluations(experiment, planned.evaluations, planned.jobs, planned.todo, located)
    tuned = experiment.protocol.encoder_mode != "frozen"
    if tuned or any(evaluation.kind == "corruption" for evaluation in planned.evaluations):
        from ..features.media_check import check_media  # with torch, as corruptions

        check_media(experiment, planned.evaluations, planned.todo, located, _device_for(experiment, gpus))
    check(planned.todo, located)


def executor_for(experiment: Experiment, gpus: tuple[str, ...], jobs: int) -> Executor:
    """The executor that an experiment names."""
    if experiment.launcher == "debug":
        return InProcess(gpus)
    if experiment.launcher == "slurm":
        executor = slurm_for(experiment)
        executor.require()
        return executor
    workers = experiment.workers or (len(gpus) or cores())
    return LocalPool(max(1, min(workers, jobs or 1)), gpus)


def slurm_for(experiment: Experiment) -> Slurm:
    """The executor of ``--launcher slurm``.

    Raises:
        UsageError: it is not installed, or what is asked of SLURM is wrong.
    """
    from ...slurm.executor import Slurm
    from ...slurm.resources import resources, seconds_of

    try:
        seconds = seconds_of(experiment.bundle_time)
    except ValueError as error:
        raise UsageError(f"--bundle-time {experiment.bundle_time}: {error}") from None
    return Slurm(resources(experiment.slurm), seconds, experiment.workers)


def context_for(planned: Plan, gpus: tuple[str, ...], wave: Wave) -> Context:
    """What the jobs of a wave need to run."""
    experiment = planned.experiment
    return Context(
        store=experiment.store.resolve(),
        data_root=experiment.root.resolve(),
        data={name: path.resolve() for name, path in experiment.data.items()},
        plugins=tuple(path.resolve() for path in experiment.plugins),
        device=_device_for(experiment, gpus),
        threads=experiment.threads,
        evaluations=planned.evaluations if wave.final else (),
        rivals=wave.rivals,
        code=code_version(),
    )


def _device_for(experiment: Experiment, gpus: tuple[str, ...]) -> str:
    """On SLURM what was asked of it decides, here what this machine has."""
    if experiment.launcher == "slurm":
        wanted = slurm_for(experiment).resources.gpu_count > 0
        return "cuda" if wanted and experiment.device != "cpu" else "cpu"
    return "cpu" if not gpus else "auto" if experiment.device == "auto" else "cuda"


def devices(text: str) -> tuple[str, ...]:
    """The GPUs that ``--device`` means, none for the CPU.

    Raises:
        UsageError: it names a device that is not there.
    """
    if text == "cpu":
        return ()
    present = gpu_names()
    if text == "auto":
        return present
    if text == "cuda" and present:
        return present
    wanted = [item.strip().removeprefix("cuda:") for item in text.split(",")]
    if not all(item.isdigit() for item in wanted if item != "cuda") or not text.startswith("cuda"):
        raise UsageError(f"--device {text!r}: write auto, cpu, cuda, or cuda:0,cuda:1")
    missing = [item for item in wanted if item == "cuda" or int(item) >= len(present)]
    if missing:
        raise UsageError(f"--device {text!r}: this machine has {len(present)} GPUs that can be used")
    return tuple(present[int(item)] for item in wanted)


def counts(planned: Plan) -> dict[str, dict[str, int]]:
    """Axis -> value -> number of networks."""
    axes: dict[str, Callable[[Job], str]] = {
        "method": lambda job: job.label,
        "task": lambda job: job.task,
        "modalities": lambda job: job.modality_set,
        "seed": lambda job: str(job.seed),
    }
    sizes = [(job, 1) for job in planned.jobs]
    if planned.courses:
        del axes["seed"]
        sizes = [(course.study.row.job, course.study.size) for course in planned.courses]
    found: dict[str, dict[str, int]] = {axis: {} for axis in axes}
    for axis, value in axes.items():
        for job, size in sizes:
            found[axis][value(job)] = found[axis].get(value(job), 0) + size
    return found
