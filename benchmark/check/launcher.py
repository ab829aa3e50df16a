"""What a launcher must do to take part. It runs a few tiny jobs in a store that is thrown away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ...datasets.dataset import SPLITS, Samples, Target
from ...datasets.layout.write import write_open_layout
from ..core.job import Job
from ..planning.experiment import Experiment
from ..planning.job_matrix import jobs_of
from ..store.store import Store
from ..train.context import Context, Outcome

#: Seconds after which a process whose work is over has ended.
PATIENCE = 60.0
#: What its jobs fit: what a launcher does with a job does not depend on what is fitted in it.
_METHOD = "majority"
#: A method that fails on purpose.
_FAILING = '''
from mmbench.methods.controls.majority import Majority

METHODS = {"failing": "Failing"}


class Failing(Majority):
    """Cannot be fitted."""

    def fit(self, train, candidate, seed):
        raise RuntimeError("on purpose")
'''


@dataclass(frozen=True)
class LauncherTrial:
    """A launcher under test, and where.

    Attributes:
        launcher: its class.
        name: the name that it is registered by.
        plugins: files that bring it.
        folder: of the toy data and the stores; every machine of the launcher has to see it.
    """

    launcher: Any
    name: str
    plugins: tuple[Path, ...]
    folder: Path

    def experiment(self, store: str, methods: str) -> Experiment:
        """Tiny jobs with two seeds.

        Args:
            store: name of the store's folder.
            methods: which methods, as for ``--methods``.
        """
        asked = {"methods": methods, "datasets": "toy", "seeds": [0, 1], "protocol": {"epochs": 1}}
        place = {"store": self.folder / store, "data_root": self.folder / "data"}
        plugins = [*self.plugins, self.folder / "failing.py"]
        return Experiment.read({**asked, **place, "plugins": plugins, "launcher": self.name, "workers": 2})

    def start(self, store: str, methods: str) -> tuple[Any, list[Job], Context]:
        """What is needed for a run.

        Args:
            store: name of the store's folder; nothing is written there.
            methods: which methods, as for ``--methods``.

        Returns:
            The launcher, the jobs of the experiment, and their context.
        """
        experiment = self.experiment(store, methods)
        jobs = jobs_of(experiment)
        launcher = self.launcher.from_experiment(experiment, len(jobs))
        context = Context(
            store=experiment.store,
            data_root=experiment.root,
            plugins=tuple(experiment.plugins),
            device=launcher.device,
        )
        return launcher, jobs, context


@contextmanager
def trial_of(launcher: Any, name: str, plugins: tuple[Path, ...] = ()) -> Iterator[LauncherTrial]:
    """A trial with toy data, below the working directory, as machines of a cluster do not share ``/tmp``.

    Args:
        launcher: its class.
        name: the name that it is registered by.
        plugins: files that bring it.
    """
    with TemporaryDirectory(prefix=".mmbench-check-", dir=Path.cwd(), ignore_cleanup_errors=True) as folder:
        place = Path(folder).resolve()
        (place / "failing.py").write_text(_FAILING, encoding="utf-8")
        splits = {split: _samples(seed) for seed, split in enumerate(SPLITS)}
        write_open_layout(
            place / "data" / "toy", splits, Target("regression", (-3.0, 3.0), metrics="regression")
        )
        yield LauncherTrial(launcher, name, tuple(file.resolve() for file in plugins), place)


def is_made_of_an_experiment(trial: LauncherTrial) -> None:
    """An experiment gives a launcher, which can start jobs from here and names their device."""
    launcher, _, _ = trial.start("empty", _METHOD)
    launcher.require()
    assert launcher.device in ("cpu", "cuda", "auto"), f"its device is {launcher.device!r}"


def previews_and_starts_nothing(trial: LauncherTrial) -> None:
    """It says in words what it would do, and starts and writes nothing."""
    launcher, jobs, context = trial.start("empty", _METHOD)
    text = launcher.preview(jobs, context)
    assert isinstance(text, str), f"its preview is a {type(text).__name__}"
    assert text.strip(), "its preview is empty"
    assert not context.store.exists(), "the preview wrote to the store"


def every_job_has_one_outcome(trial: LauncherTrial) -> None:
    """Every job yields one outcome. Results are in the store; a job that fails is said to, with its reason."""
    launcher, jobs, context = trial.start("runs", f"{_METHOD},failing")
    store = Store(context.store)
    store.add(jobs)
    outcomes: list[Outcome] = list(launcher.run(jobs, context))
    names = sorted(outcome.job_id for outcome in outcomes)
    assert names == sorted(job.id for job in jobs), f"outcomes of {names}"
    methods = {job.id: job.method for job in jobs}
    for outcome in outcomes:
        good = methods[outcome.job_id] == _METHOD
        state = store.record(next(job for job in jobs if job.id == outcome.job_id)).state
        assert outcome.ok == good, f"{outcome.job_id}: ok is {outcome.ok}; {outcome.reason}"
        assert state == ("done" if good else "failed"), f"{outcome.job_id} is {state} in the store"
        assert good or "on purpose" in outcome.reason, f"the reason is {outcome.reason!r}"


def closed_early_nothing_is_lost(trial: LauncherTrial) -> None:
    """Closed after its first outcome, it ends cleanly, and a second run finishes what is missing."""
    launcher, jobs, context = trial.start("closed", _METHOD)
    store = Store(context.store)
    store.add(jobs)
    outcomes = launcher.run(jobs, context)
    assert next(outcomes).ok
    outcomes.close()
    if not launcher.detached:
        end = time.monotonic() + PATIENCE
        while any(store.job(job.id).is_held() for job in jobs):
            assert time.monotonic() < end, "a job still runs after the iterator was closed"
            time.sleep(0.1)
    left = [job for job in jobs if not store.job(job.id).is_done()]
    again = list(launcher.run(left, context))
    assert sorted(outcome.job_id for outcome in again) == sorted(job.id for job in left)
    assert all(store.job(job.id).is_done() for job in jobs), "a second run left something undone"


def submissions_are_known(trial: LauncherTrial) -> None:
    """If its jobs outlive the command, its name and their ids are written down, and it tells which have ended."""
    if not trial.launcher.detached:
        return
    assert trial.launcher.name == trial.name, (
        f"it is registered as {trial.name}, and calls itself {trial.launcher.name}"
    )
    ids: set[str] = set()
    for place in ("runs", "closed"):
        for job in jobs_of(trial.experiment(place, _METHOD)):
            submission = Store(trial.folder / place).job(job.id).submission()
            assert submission, f"{job.id}: nothing says where it was submitted"
            assert submission.launcher == trial.name, f"{job.id}: was submitted to {submission.launcher}"
            ids.add(submission.id)
    end = time.monotonic() + PATIENCE
    while alive := trial.launcher.alive(ids):
        assert time.monotonic() < end, f"all jobs have ended, and it still has {', '.join(sorted(alive))}"
        time.sleep(0.1)
    assert trial.launcher.alive(()) == set(), "it has submissions that nobody asked for"
    assert trial.launcher.alive({"0"}) == set(), "it has a submission that there never was"
    trial.launcher.cancel(())


LAUNCHER_CHECKS = (
    is_made_of_an_experiment,
    previews_and_starts_nothing,
    every_job_has_one_outcome,
    closed_early_nothing_is_lost,
    submissions_are_known,
)


def _samples(seed: int) -> Samples:
    draw = np.random.default_rng(seed)
    count, steps = 12, 2
    target = draw.uniform(-3, 3, count).astype(np.float32)
    features = {
        name: draw.normal(size=(count, steps, width)).astype(np.float32)
        for name, width in (("text", 4), ("audio", 3))
    }
    return Samples(
        features=features,
        mask={name: np.ones((count, steps), bool) for name in features},
        present={name: np.ones(count, bool) for name in features},
        target=target,
        sample_id=np.array([f"{seed}-{row}" for row in range(count)]),
        domain=np.full(count, ""),
        previous=np.full(count, -1),
    )
