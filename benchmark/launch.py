"""Runs an experiment: what is done stays, what is missing is trained."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .asked import remember, remembered
from .environment import code_version, gpu_names
from .errors import UsageError
from .evaluations import Evaluation, check_medium, of_job, wanted
from .executor import Context, Executor, InProcess, Listener, LocalPool, Outcome
from .experiment import Experiment, as_values
from .job import Job
from .locate import locate
from .matrix import jobs_of
from .precheck import check
from .registry import find
from .store import Store

if TYPE_CHECKING:
    from ..slurm.executor import Slurm


@dataclass(frozen=True)
class Plan:
    """What an experiment asks for, and what of it is done."""

    experiment: Experiment
    jobs: tuple[Job, ...]
    done: tuple[Job, ...]
    todo: tuple[Job, ...]
    evaluations: tuple[Evaluation, ...] = ()

    @property
    def store(self) -> Store:
        """Where the results go."""
        return Store(self.experiment.store)


@dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
        planned: jobs of the experiment.
        done: of these, now done.
        failed: those that failed, with their reasons.
    """

    planned: int
    done: int
    failed: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        """Whether every job is done."""
        return self.done == self.planned


def plan(experiment: Experiment) -> Plan:
    """The jobs of an experiment, without running or writing anything.

    Raises:
        UsageError: something is asked for that does not exist.
        DataError: data that is not there, or not described as it should be.
    """
    jobs = jobs_of(experiment)
    store = Store(experiment.store)
    evaluations = wanted(experiment)

    def is_done(job: Job) -> bool:
        names = {evaluation.name for evaluation in of_job(evaluations, job)}
        return store.is_done(job.id) and (not names or names <= set(store.evaluations(job.id)))

    done = tuple(job for job in jobs if is_done(job))
    finished = {job.id for job in done}
    todo = tuple(job for job in jobs if job.id not in finished)
    return Plan(experiment, tuple(jobs), done, todo, evaluations)


def run(experiment: Experiment | Plan, listener: Listener | None = None) -> Summary:
    """Trains and evaluates every job that is not done, and writes the results to the experiment's store.

    Interrupted, it can be called again and goes on with what is missing.

    Args:
        experiment: what to run, or its plan.
        listener: called with each outcome as it comes.

    Raises:
        UsageError, DataError: see ``plan``; nothing was written then.
    """
    planned = experiment if isinstance(experiment, Plan) else plan(experiment)
    on_slurm = planned.experiment.launcher == "slurm"
    gpus = () if on_slurm else devices(planned.experiment.device)
    executor = executor_for(planned.experiment, gpus, len(planned.todo))
    context = context_for(planned, gpus)
    check_data(planned)
    planned.store.add(planned.jobs)
    if planned.todo:
        remember(planned.experiment)
    failed: list[Outcome] = []
    if planned.todo:
        for outcome in executor.run(planned.todo, context):
            if not outcome.ok:
                failed.append(outcome)
            if listener:
                listener(outcome)
    done = len(planned.jobs) - len(failed)
    return Summary(len(planned.jobs), done, tuple(failed))


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
            plans.append(replace(planned, jobs=mine, done=(), todo=todo))
            left -= {job.id for job in mine}
    return plans


def check_data(planned: Plan) -> None:
    """Reads data that were not read before, and looks whether the corruptions can break them.

    Raises:
        DataError: data are faulty or do not go together.
        UsageError: a corruption breaks another medium than the modalities hold.
    """
    experiment = planned.experiment
    plugins = tuple(experiment.plugins)
    modalities = dict.fromkeys(name for job in planned.todo for name in job.modalities)
    for evaluation in planned.evaluations:
        if evaluation.kind == "corruption" and planned.todo:
            check_medium(find("corruption", evaluation.subject, plugins).load(), modalities)
    names = sorted({item.name for job in planned.todo for item in job.data})
    check(planned.todo, {name: locate(name, experiment.root, experiment.data, plugins) for name in names})


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
    from ..slurm.executor import Slurm
    from ..slurm.resources import resources, seconds_of

    try:
        seconds = seconds_of(experiment.bundle_time)
    except ValueError as error:
        raise UsageError(f"--bundle-time {experiment.bundle_time}: {error}") from None
    return Slurm(resources(experiment.slurm), seconds, experiment.workers)


def context_for(planned: Plan, gpus: tuple[str, ...]) -> Context:
    """What the jobs of a plan need to run."""
    experiment = planned.experiment
    return Context(
        store=experiment.store.resolve(),
        data_root=experiment.root.resolve(),
        data={name: path.resolve() for name, path in experiment.data.items()},
        plugins=tuple(path.resolve() for path in experiment.plugins),
        device=_device_for(experiment, gpus),
        threads=experiment.threads,
        evaluations=planned.evaluations,
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


def cores() -> int:
    """The cores that this process may use."""
    import os

    return len(os.sched_getaffinity(0))


def counts(jobs: Sequence[Job]) -> dict[str, dict[str, int]]:
    """Axis -> value -> number of jobs."""
    axes: dict[str, Callable[[Job], str]] = {
        "method": lambda job: job.label,
        "task": lambda job: job.task,
        "modalities": lambda job: job.modality_set,
        "seed": lambda job: str(job.seed),
    }
    found: dict[str, dict[str, int]] = {axis: {} for axis in axes}
    for axis, value in axes.items():
        for job in jobs:
            found[axis][value(job)] = found[axis].get(value(job), 0) + 1
    return found


def store_at(path: Path) -> Store:
    """An existing store.

    Raises:
        UsageError: there is none.
    """
    store = Store(path.expanduser())
    if not store.jobs_folder.is_dir():
        raise UsageError(f"no results in {path}: run something first, or name the folder with --store")
    return store
