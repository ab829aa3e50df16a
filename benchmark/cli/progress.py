"""Progress of a run: one line a job on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..core.atomic_files import read_json
from ..core.job import Job
from ..core.strings import duration
from ..launch.time_left import Kind, Spent, earlier_seconds, kind_of, seconds_left
from ..store.store import Store

if TYPE_CHECKING:
    from ..launch.run import Listener
    from ..train.context import Outcome

#: Seconds between plain lines that tell of jobs under way.
PLAIN_INTERVAL = 30.0
MAX_LINES = 16


@contextmanager
def show_progress(jobs: Sequence[Job], store: Store, console: Console) -> Iterator[Listener]:
    """Shows the progress of a run while its block runs.

    Args:
        jobs: that are run together.
        store: where their progress is written.
        console: a terminal, which shows bars, or anything else, which gets lines.

    Yields:
        What is to be called with each outcome.
    """
    view = RunView(jobs, store)
    if console.is_terminal:
        with Live(get_renderable=view.render, console=console, refresh_per_second=4, transient=True) as live:

            def report(outcome: Outcome) -> None:
                live.console.print(view.outcome_line(outcome))

            yield report
        return

    def report_plainly(outcome: Outcome) -> None:
        console.print(view.outcome_line(outcome), soft_wrap=True)

    over = threading.Event()

    def report_running() -> None:
        while not over.wait(PLAIN_INTERVAL):
            for job, progress in view.running_jobs():
                words = "  ".join(filter(None, _words(progress)))
                console.print(
                    f"running {_title(job)}  {words}", markup=False, highlight=False, soft_wrap=True
                )

    teller = threading.Thread(target=report_running, daemon=True)
    teller.start()
    try:
        yield report_plainly
    finally:
        over.set()
        teller.join()


def progress(store: Path | str = "runs") -> Callable[[Sequence[Job]], AbstractContextManager[Listener]]:
    """What shows the progress of ``run(asked, showing=progress("runs"))``: bars on a terminal, lines in a notebook.

    Args:
        store: folder of the results.

    Returns:
        What ``run`` takes as ``showing``.
    """
    # plain lines in a notebook: it takes its output for a terminal, and shows every state of a bar below the last
    plain = False if Console().is_jupyter else None
    console = Console(force_jupyter=False, force_terminal=plain, soft_wrap=True)
    return lambda jobs: show_progress(jobs, Store(Path(store)), console)


class RunView:
    """The progress of a run, as the terminal shows it."""

    def __init__(self, jobs: Sequence[Job], store: Store) -> None:
        self.jobs = {job.id: job for job in jobs}
        self.store = store
        self.total = len(jobs)
        self.started = time.time()
        self.ended_ids: set[str] = set()
        self.trained_before = {job.id for job in jobs if store.job(job.id).is_done()}
        self.failures = 0
        #: Of jobs that are trained before and only tested, no job says how long that takes.
        self.earlier = {} if self.trained_before else earlier_seconds(store, jobs)
        self.took: list[tuple[Kind, Spent]] = []
        self.first_began: float | None = None
        self.estimated = (0.0, 0.0)  # when, and how many seconds were left then

    def outcome_line(self, outcome: Outcome) -> Text:
        """The line of a job that ended."""
        job = self.jobs[outcome.job_id]
        self.ended_ids.add(outcome.job_id)
        self.failures += not outcome.ok
        self._estimate(job)
        count = f"[{len(self.ended_ids)}/{self.total}] "
        if not outcome.ok:
            return Text.assemble(count, ("failed ", "bold red"), _title(job), f": {outcome.reason}")
        if self.store.job(job.id).pruning_record() is not None:
            return Text.assemble(count, ("pruned ", "yellow"), _title(job), f"  {outcome.reason}")
        return Text.assemble(
            count, ("done ", "green"), _title(job), "  ", self._result(outcome), "  ", self._time_left()
        )

    def _result(self, outcome: Outcome) -> str:
        record = read_json(self.store.job(outcome.job_id).path / "fit.json") or {}
        environment = read_json(self.store.job(outcome.job_id).path / "environment.json") or {}
        seconds = environment.get("seconds", {})
        if not record:
            return outcome.reason
        if outcome.job_id in self.trained_before:
            return "tested under more conditions; trained before"
        best = record["epochs"][record["selected_epoch"]]
        place = f"{record['selected_epoch'] + 1}/{len(record['epochs'])}"
        loss = sum(best["train"].values())
        words = [
            # an estimator has no loss, and candidates in the place of epochs
            *([f"epoch {place}", f"loss {loss:.3f}"] if best["train"] else [f"candidate {place}"]),
            f"valid {record['metric']} {best['metric']:.3f}",
            f"{sum(seconds.values()):.0f} s" if sum(seconds.values()) >= 1 else "<1 s",
        ]
        if environment.get("code_changed"):
            words.append("by other code than when it was asked for")
        return "  ".join(words)

    def _time_left(self) -> str:
        if len(self.ended_ids) in (0, self.total):
            return ""
        when, left = self.estimated
        return f"about {duration(max(left - (time.time() - when), 0.0))} left"

    def _estimate(self, job: Job) -> None:
        """Estimates the time that is left, now that a job has ended."""
        now, done = time.time(), len(self.ended_ids)
        environment = read_json(self.store.job(job.id).path / "environment.json") or {}
        seconds = sum(environment.get("seconds", {}).values())
        if self.trained_before or not seconds:
            left = (now - self.started) / done * (self.total - done)
        else:
            self.took.append((kind_of(job), Spent.of(environment)))
            if self.first_began is None:
                self.first_began = max(self.started, now - seconds)
            waiting = [kind_of(one) for name, one in self.jobs.items() if name not in self.ended_ids]
            left = seconds_left(self.took, waiting, now - self.first_began, self.earlier)
        self.estimated = (now, left)

    def running_jobs(self) -> list[tuple[Job, dict[str, Any]]]:
        """The jobs under way, with their progress."""
        running = []
        waiting = [job for job_id, job in list(self.jobs.items()) if job_id not in self.ended_ids]
        for job in waiting[:MAX_LINES]:  # jobs start in order
            progress = read_json(self.store.job(job.id).path / "progress.json")
            if progress and progress.get("updated", 0) >= self.started - 1:
                running.append((job, progress))
        return running

    def render(self) -> RenderableType:
        """The lines of the jobs under way, and one for all."""
        table = Table.grid(padding=(0, 2))
        for job, progress in self.running_jobs():
            table.add_row(
                _title(job),
                ProgressBar(total=1, completed=progress.get("share", 0), width=16),
                *_words(progress),
            )
        done = len(self.ended_ids)
        line = Table.grid(padding=(0, 2))
        failed = Text(f"{self.failures} failed", style="red") if self.failures else Text("")
        line.add_row(
            Text(f"{done}/{self.total} jobs", style="bold"),
            ProgressBar(total=self.total, completed=done, width=32),
            failed,
            self._time_left(),
        )
        return Group(table, line)


def _title(job: Job) -> str:
    which = f"{job.search.role} {job.search.index}" if job.search else f"seed {job.seed}"
    which = f"{job.fold.place} {which}" if job.fold else which
    label = f"{job.label} ({job.role})" if job.role else job.label
    return f"{job.task} {label} {job.modality_set} {which}"


def _words(progress: dict[str, Any]) -> list[str]:
    # an estimator has no loss, and candidates in the place of epochs
    unit = "candidate" if "metric" in progress and "loss" not in progress else "epoch"
    words = [f"{unit} {progress['epoch']}/{progress['epochs']}"]
    words.append(f"loss {progress['loss']:.3f}" if "loss" in progress else "")
    words.append(f"valid {progress['metric']:.3f}" if "metric" in progress else "")
    left = progress.get("seconds_left")
    words.append(f"{duration(left)} left" if left is not None else "")
    return words
