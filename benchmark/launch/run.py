"""Runs an experiment: what is done stays, what is missing is trained."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

from ...datasets.dataset import Located
from ..core.environment import code_version
from ..core.job import COMPANION, Job
from ..core.locate import locate
from ..core.method_spec import describe
from ..core.registry import callbacks, find
from ..planning.data_check import check_job_data
from ..planning.evaluation_check import check_evaluations, media_methods
from ..planning.experiment import Experiment
from ..planning.history import save_experiment
from ..search.study import Wave, next_wave, progress_of
from ..train.context import Context, Outcome
from .launcher import launcher_for
from .plan import Plan, companions_of, plan

#: Says with level INFO how each job ended, for those who call ``run`` from Python.
LOG = logging.getLogger("mmbench.run")
#: Called with every outcome as it comes.
Listener = Callable[[Outcome], None]
#: Shows how jobs that are run together get on, while its block runs.
Showing = Callable[[Sequence[Job]], AbstractContextManager[Listener]]


@dataclass(frozen=True)
class Summary:
    """The result of a run.

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


def run(
    experiment: Experiment | Plan, listener: Listener | None = None, showing: Showing | None = None
) -> Summary:
    """Trains and evaluates every job that is not done, and writes the results to the experiment's store.

    Interrupted, it can be called again and goes on with what is missing.

    Args:
        experiment: what to run, or its plan.
        listener: called with each outcome as it comes. Without it the logger ``mmbench.run`` says as much (level INFO).
        showing: makes a listener for the jobs that are run together, in place of ``listener``; a search runs jobs in
            several waves.

    Returns:
        How many jobs are done, and which failed.

    Raises:
        UsageError: something is asked for that does not exist or cannot be had here; nothing was written then.
        DataError: data are not there, faulty, or do not go together; nothing was written then.
    """
    planned = experiment if isinstance(experiment, Plan) else plan(experiment)
    launcher = launcher_for(planned.experiment, planned.remaining)
    launcher.require()
    check_data(planned, launcher.device)
    planned.store.add(planned.jobs)
    for job in planned.done:
        planned.store.job(job.id).tidy()
    if planned.remaining:
        save_experiment(planned.experiment)
    failed: list[Outcome] = []
    ended = 0
    for wave in _waves(planned):
        if planned.searches:  # else all were written down above
            planned.store.add(wave.jobs)
        context = context_for(planned, launcher.device, wave)
        with showing(wave.jobs) if showing else nullcontext(listener) as listen:
            for outcome in launcher.run(wave.jobs, context):
                ended += 1
                how = "done" if outcome.ok else f"failed: {outcome.reason}"
                LOG.info("%s of %s: %s %s", ended, planned.remaining, outcome.job_id, how)
                if not outcome.ok:
                    failed.append(outcome)
                if listen:
                    listen(outcome)
    if planned.searches:
        ended = plan(planned.experiment)
        return Summary(ended.networks, len(ended.done), tuple(failed), ended.pruned_trials)
    return Summary(len(planned.jobs), len(planned.jobs) - len(failed), tuple(failed))


def _waves(planned: Plan) -> Iterator[Wave]:
    """Jobs that are run together, one wave after the other. In a search the next wave follows from the last."""
    if not planned.searches:
        for jobs in (_companions(planned.todo), _others(planned.todo)):
            if jobs:
                yield Wave(jobs, True, {})
        return
    from ..search.optuna_study import ask, write_journals

    store, tried = planned.store, set[tuple[str, bool]]()
    searches = planned.searches
    while True:
        write_journals(store, searches)
        wave = next_wave(searches, store, planned.evaluations, tried, partial(ask, store))
        if not wave.jobs:
            return
        tried |= {(job.id, wave.final) for job in wave.jobs}
        first = companions_of(wave.jobs, store)
        if first:
            yield Wave(tuple(first), False, {})
        yield wave
        searches = progress_of([progress.study for progress in searches], store)


def _companions(jobs: Sequence[Job]) -> tuple[Job, ...]:
    """The jobs that others need: they are run first."""
    return tuple(job for job in jobs if job.role == COMPANION)


def _others(jobs: Sequence[Job]) -> tuple[Job, ...]:
    """The jobs that are asked for themselves; some of them read what their companions saw."""
    return tuple(job for job in jobs if job.role != COMPANION)


def check_data(planned: Plan, device: str) -> None:
    """Reads data that were not read before, and checks that they can be tested as asked for on a device.

    Args:
        planned: what is to be run.
        device: where the jobs run, as ``Context.device``.

    Raises:
        DataError: data are faulty or do not go together.
        UsageError: see ``check_evaluations``, ``check_callbacks``, ``check_target_media`` and ``check_tokens``.
    """
    experiment = planned.experiment
    plugins = tuple(experiment.plugins)
    if callbacks(plugins):
        from ..train.loggers import check_callbacks  # with Lightning

        check_callbacks(plugins)
    located = check_evaluations_of(planned)
    tuned = experiment.protocol.encoder_mode != "frozen"
    if (
        tuned
        or media_methods(planned.todo, plugins)
        or any(evaluation.kind == "corruption" for evaluation in planned.evaluations)
    ):
        from ..features.media_check import check_target_media  # with torch, as corruptions

        check_target_media(experiment, planned.evaluations, planned.todo, located, device)
    check_job_data(planned.todo, located, plugins)
    methods = {job.method for job in planned.todo}
    if experiment.protocol.text_encoder or any(
        describe(find("method", name, plugins)).reads_tokens for name in methods
    ):
        from ..train.token_check import check_tokens  # with torch

        check_tokens(experiment, planned.evaluations, planned.todo, located)


def check_evaluations_of(planned: Plan) -> dict[str, Located]:
    """Checks, without reading data, that networks can be tested as a plan asks.

    Returns:
        Name -> dataset, of the data of the jobs that are not done.

    Raises:
        UsageError: see ``check_evaluations``.
    """
    experiment = planned.experiment
    plugins = tuple(experiment.plugins)
    names = sorted({item.name for job in planned.todo for item in job.data})
    located = {name: locate(name, experiment.root, experiment.data, plugins) for name in names}
    check_evaluations(experiment, planned.evaluations, planned.jobs, planned.todo, located)
    return located


def context_for(planned: Plan, device: str, wave: Wave) -> Context:
    """What the jobs of a wave need to run.

    Args:
        planned: the plan that they are of.
        device: where they run, as ``Context.device``.
        wave: what is run together.

    Returns:
        The same for all of them.
    """
    experiment = planned.experiment
    return Context(
        store=experiment.store.resolve(),
        data_root=experiment.root.resolve(),
        data={name: path.resolve() for name, path in experiment.data.items()},
        plugins=tuple(path.resolve() for path in experiment.plugins),
        device=device,
        threads=experiment.threads,
        evaluations=planned.evaluations if wave.final else (),
        rivals=wave.rivals,
        code=code_version(),
        measure=experiment.measure,
        contribution=experiment.contribution,
        loggers=tuple(experiment.logger),
    )
