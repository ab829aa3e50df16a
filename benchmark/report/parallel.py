"""Leaderboards of many jobs, block by block, in several processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import Progress

from ..core.errors import UsageError
from ..store.store import Store
from . import block_cache as blocks
from .block_cache import Block, Request, Tabled
from .boards import BOARDS, named_boards
from .output_cache import signature_of_code
from .results import Filter

#: With fewer jobs the start of the processes takes longer than they save.
MANY = 100


@contextmanager
def tabled(
    store: Store,
    chosen: Filter,
    what: str | None,
    found: Sequence[Block],
    out: Console,
    reference: str = "",
) -> Iterator[tuple[dict[str, list[Path]], list[str]]]:
    """Leaderboard that is made of results -> the files of its blocks, as long as the context lasts; and what could
    not be read.

    Args:
        store: the store.
        chosen: of which jobs.
        what: which leaderboards, as ``chosen_boards`` takes it.
        found: the blocks.
        out: where progress is shown.
        reference: the row that ``relative`` divides by; empty for the default.

    Raises:
        UsageError: an unknown leaderboard, or nothing was chosen, or there is nothing for one.
    """
    asked = named_boards(what)
    names = None if asked is None else tuple(dict.fromkeys(BOARDS[name].source or name for name in asked))
    with TemporaryDirectory() as aside:
        request = Request(store.path, chosen, names, reference, signature_of_code(), Path(aside))
        made = _all_of(found, request, out)
        unfit = [one.unfit for one in made if one.unfit]
        if len(unfit) == len(made):
            raise UsageError(unfit[0])
        nothing = {name: why for one in made for name, why in one.nothing.items()}
        files = {name: [one.files[name] for one in made if name in one.files] for name in names or blocks.OWN}
        for name in names or ():
            if not files[name] and name in nothing:
                raise UsageError(f"leaderboard {name}: {nothing[name]}")
        yield {name: held for name, held in files.items() if held}, [f for one in made for f in one.faults]


def _all_of(found: Sequence[Block], request: Request, out: Console) -> list[Tabled]:
    """What there is of each block, in their order; what is not kept is made, the largest blocks first."""
    done = {place: kept for place, block in enumerate(found) if (kept := blocks.kept(block, request))}
    places = sorted(set(range(len(found))) - set(done), key=lambda place: -len(found[place].jobs))
    if places:
        with _pool(len(places)) as pool, Progress(console=out, transient=True) as progress:
            total = sum(len(found[place].jobs) for place in places)
            bar = progress.add_task("scoring and comparing", total=total)
            waiting = {pool.submit(blocks.table, found[place], request): place for place in places}
            for future in as_completed(waiting):
                place = waiting[future]
                done[place] = future.result()
                progress.advance(bar, len(found[place].jobs))
    return [done[place] for place in range(len(found))]


@contextmanager
def _pool(tasks: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that are started anew: a fork of one with threads may hang. One thread each."""
    before = dict(os.environ)
    os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    try:
        workers = min(tasks, len(os.sched_getaffinity(0)))
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            yield pool
    finally:
        os.environ.clear()
        os.environ.update(before)
