"""Scores while the benchmark runs, so that its tables have only to be joined: what is made here may be deleted at
any time, and is made again by the tables that need it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from rich.console import Console

from ..core.errors import UsageError
from ..store.names import StoreError
from ..store.store import Store
from .block_cache import blocks_of, made_of_results
from .chosen_tables import known_tables
from .parallel import MANY, tabled
from .results import Filter, readable


def score_job(store: Path, job_id: str) -> None:
    """Stores the scores of a finished job beside its predictions. Called by the worker that has just ended it.

    Nothing that goes wrong here is the job's fault, and all of it will be said by the tables.

    Args:
        store: folder of the results.
        job_id: of the job.
    """
    try:
        results, _ = readable(store, Filter(jobs=frozenset([job_id])))
        tables = known_tables()
        for name in made_of_results(tables):
            if tables[name].needs(results):
                tables[name].make(results)
    except Exception:
        return


def table_blocks(store: Store, out: Console) -> None:
    """Stores the tables of every block of a large store in which something has changed.

    Args:
        store: after a run.
        out: where progress is shown.
    """
    blocks = blocks_of(store)
    if sum(len(block.jobs) for block in blocks if not block.over_tasks) >= MANY:
        # What is wrong with a store is said by its tables.
        with suppress(UsageError, StoreError, OSError), tabled(store, Filter(), None, blocks, out):
            pass
