"""Plans of single jobs of a store, to run them again as they were asked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from ..core.errors import UsageError
from ..core.strings import as_values
from ..planning.experiment import Experiment
from ..planning.history import saved_experiments
from ..store.store import Store
from .plan import Plan, plan


def plans_of(
    store: Store,
    jobs: Collection[str],
    slurm: str | None,
    launcher: str | None,
    plugins: Sequence[Path] = (),
) -> list[Plan]:
    """Plans of just these jobs, by the newest run that asked for each.

    Args:
        store: where they are.
        jobs: their ids.
        slurm: what is to be asked of SLURM in place of what was.
        launcher: in place of what was.
        plugins: files that are used beside those that were, such as one that brings the launcher.

    Returns:
        One plan for each experiment that asked for some of the jobs. Jobs that no experiment asks for are in none.

    Raises:
        UsageError: ``slurm`` gives a key twice.
    """
    left, plans = set(jobs), []
    for file in saved_experiments(store):
        if not left:
            break
        experiment = Experiment.load(file, {"store": store.path})
        changes: dict[str, object] = {"launcher": launcher} if launcher else {}
        if plugins:
            files = (file.resolve() for file in (*experiment.plugins, *plugins))
            changes["plugins"] = list(dict.fromkeys(files))
        if slurm:
            try:
                changes["slurm"] = {**experiment.slurm, **as_values(slurm)}
            except ValueError as error:
                raise UsageError(f"--slurm: {error}") from None
        experiment = Experiment.load(file, {"store": store.path, **changes})
        planned = plan(experiment)
        mine = tuple(job for job in planned.jobs if job.id in left)
        if mine:
            todo = tuple(job for job in planned.todo if job.id in left)
            plans.append(replace(planned, jobs=mine, done=(), todo=todo, searches=()))
            left -= {job.id for job in mine}
    return plans
