"""Scores while the benchmark runs, so that its tables have only to be joined: what is made here may be deleted at
any time, and is made again by the tables that need it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from rich.console import Console

from ..core.errors import UsageError
from ..store.names import StoreError
from ..store.store import Store
from .block_cache import OWN, blocks_of
from .boards import BOARDS
from .parallel import MANY, tabled
from .results import Filter, readable


def score_job(store: Path, job_id: str) -> None:
    """Keeps the scores of a finished job beside its predictions. Called by the worker that has just ended it.

    Nothing that goes wrong here is the job's fault, and all of it will be said by the tables.
    """
    try:
        found, _ = readable(store, Filter(jobs=frozenset([job_id])))
        for name in OWN:
            if BOARDS[name].there(found):
                BOARDS[name].make(found)
    except Exception:
        return


def table_blocks(store: Store, out: Console) -> None:
    """Keeps the tables of every block of a large store in which something has changed."""
    found = blocks_of(store)
    if sum(len(block.jobs) for block in found) >= MANY:
        # What is wrong with a store is said by its tables.
        with suppress(UsageError, StoreError, OSError), tabled(store, Filter(), None, found, out):
            pass
