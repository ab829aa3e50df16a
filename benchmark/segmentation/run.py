"""Runs jobs of segmenters: those that are not done, in worker processes, each held by a lock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import UsageError, error_line
from ..core.processes import ONE_THREAD, importing_once
from ..planning.segmenters import resolve
from .corpus import Corpus, parse_observe, read_corpus
from .job import RegimeJob
from .runner import run_job
from .store import RegimeFolder


@dataclass(frozen=True)
class RegimeRun:
    """What is asked for.

    Attributes:
        jobs: with the corpus of each.
        store: the folder of results.
        plugins: files that bring segmenters.
    """

    jobs: tuple[tuple[RegimeJob, Corpus], ...]
    store: Path
    plugins: tuple[Path, ...] = ()

    def folder(self, job: RegimeJob) -> RegimeFolder:
        """The files of a job."""
        return RegimeFolder(self.store, job.id)

    @property
    def regressions(self) -> list[str]:
        """A line for each regression that valence is from."""
        said = [
            f"{corpus.dataset}, {modality}: {one}"
            for _, corpus in self.jobs
            for modality, one in corpus.regressions.items()
        ]
        return list(dict.fromkeys(said))

    @property
    def remaining(self) -> list[tuple[RegimeJob, Corpus]]:
        """Those that are not done."""
        return [(job, corpus) for job, corpus in self.jobs if not self.folder(job).is_done()]


@dataclass(frozen=True)
class Outcome:
    """How a job ended; ``reason`` is empty where it is done."""

    job: RegimeJob
    reason: str = ""


def plan_regimes(
    segmenters: Sequence[str],
    datasets: Sequence[str],
    seeds: Sequence[int],
    folds: int,
    observe: str,
    root: Path,
    store: Path,
    plugins: tuple[Path, ...] = (),
) -> RegimeRun:
    """The product of segmenters, datasets and seeds.

    Args:
        segmenters: names, with parameters in parentheses.
        datasets: names.
        seeds: numbers.
        folds: parts of the conversations, each held out once; 0: none is.
        observe: as ``--observe`` has it.
        root: the folder of the datasets.
        store: the folder of results.
        plugins: files that bring datasets and segmenters.

    Raises:
        UsageError: something is unknown, named twice, or cannot be.
        DataError: a dataset cannot be read.
    """
    for what, values in (("segmenter", segmenters), ("dataset", datasets), ("seed", seeds)):
        if not values:
            raise UsageError(f"no {what} is named")
        for place, value in enumerate(values):
            if value in values[:place]:
                raise UsageError(f"{what} {value!r} is named twice")
    if folds < 0 or folds == 1:
        raise UsageError(f"--folds {folds}: write 2 or more, or 0 for no held-out likelihood")
    resolved = [resolve(text, plugins) for text in segmenters]
    chosen = parse_observe(observe)
    jobs = []
    for dataset in datasets:
        corpus = read_corpus(dataset, root, chosen, plugins)
        for asked in resolved:
            for seed in seeds:
                job = RegimeJob(
                    dataset, corpus.fingerprint, corpus.observe, asked.name, asked.params, asked.version, seed, folds,
                    asked.label, corpus.synthetic, asked.origin,
                )  # fmt: skip
                jobs.append((job, corpus))
    return RegimeRun(tuple(jobs), store, plugins)


def run_regimes(planned: RegimeRun, workers: int) -> Iterator[Outcome]:
    """Runs what is not done. A job that fails, or whose process dies, costs nothing but itself.

    Args:
        planned: the jobs.
        workers: processes at a time; 1: this one.

    Yields:
        The outcome of every job that was to do, as it ends.
    """
    todo = planned.remaining
    for job, _ in todo:
        planned.folder(job).write_down(job)
    if workers == 1 or len(todo) < 2:
        for job, corpus in todo:
            yield work(job, corpus, planned.store, planned.plugins)
        return
    while todo:
        with ProcessPoolExecutor(
            min(workers, len(todo)), mp_context=importing_once(("scipy.stats",), ONE_THREAD)
        ) as pool:
            running: dict[Future[Outcome], RegimeJob] = {
                pool.submit(work, job, corpus, planned.store, planned.plugins): job for job, corpus in todo
            }
            ended: set[str] = set()
            broken = False
            for future in as_completed(running):
                job = running[future]
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    broken = True
                    continue
                ended.add(job.id)
                yield outcome
        todo = [pair for pair in todo if pair[0].id not in ended]
        if broken and not ended:  # nothing was gained: the first is the one that dies
            job, _ = todo.pop(0)
            reason = "its process died, perhaps for want of memory"
            planned.folder(job).fail(reason)
            yield Outcome(job, reason)


def work(job: RegimeJob, corpus: Corpus, store: Path, plugins: tuple[Path, ...] = ()) -> Outcome:
    """Runs one job, unless another process has done it by now.

    Args:
        job: what is asked.
        corpus: its conversations.
        store: the folder of results.
        plugins: files that bring the segmenter.
    """
    folder = RegimeFolder(store, job.id)
    with folder.hold():
        if folder.is_done():
            return Outcome(job)
        try:
            folder.finish(run_job(job, corpus, plugins))
        except Exception as error:  # whatever a segmenter raises is its failure, and no other's
            reason = error_line(error)
            folder.fail(reason)
            return Outcome(job, reason)
    return Outcome(job)
