"""Leaderboards of many jobs, block by block, in several processes where many are to be made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import Progress

from ..core.errors import UsageError
from ..core.processes import ONE_THREAD, importing_once
from ..store.store import Store
from . import block_cache as blocks
from .block_cache import NO_RESULTS, JobBlock, Request, Tabled
from .chosen_tables import known_tables, named_tables
from .output_cache import signature_of_code
from .results import Filter

T = TypeVar("T")

#: With fewer jobs the start of the processes takes longer than they save.
MANY = 100


@contextmanager
def tabled(
    store: Store,
    chosen: Filter,
    what: str | None,
    block_list: Sequence[JobBlock],
    out: Console,
    reference: str = "",
    plugins: tuple[Path, ...] = (),
) -> Iterator[tuple[dict[str, list[Path]], list[str], dict[str, str]]]:
    """Makes the leaderboards of many blocks.

    Args:
        store: the store.
        chosen: of which jobs.
        what: which leaderboards, as ``chosen_tables`` takes it.
        found: the blocks.
        out: where progress is shown.
        reference: the row that ``relative`` divides by; empty for the default.
        plugins: plug-in files that bring tables or metrics.

    Returns:
        Leaderboard that is made of results -> the files of its blocks, as long as the context lasts; what could not be
        read; and leaderboard -> why no block has it, where its results seemed to be there.

    Raises:
        UsageError: an unknown leaderboard, or nothing was chosen, or there is nothing for one.
    """
    tables, named = known_tables(plugins), named_tables(what, plugins)
    names = None if named is None else tuple(dict.fromkeys(tables[name].source or name for name in named))
    with TemporaryDirectory() as aside:
        code = signature_of_code(plugins)
        request = Request(store.path, chosen, names, reference, code, Path(aside), plugins)
        wanted = [block for block in block_list if request.wanted_of(block)]
        tabled_blocks = _all_of(wanted, request, out)
        unfit = [one.unfit for one in tabled_blocks if one.unfit]
        if unfit and len(unfit) == len(tabled_blocks):
            raise UsageError(unfit[0])
        nothing = {name: why for one in tabled_blocks for name, why in one.nothing.items()}
        files = {
            name: [one.files[name] for one in tabled_blocks if name in one.files] for name in request.wanted
        }
        for name in names or ():
            if not files[name]:
                raise UsageError(f"leaderboard {name}: {nothing.get(name, NO_RESULTS)}")
        faults = [fault for one in tabled_blocks for fault in one.faults]
        lacking = {name: why for name, why in nothing.items() if not files[name]}
        if lacking and not any(files.values()):
            name, why = next(iter(lacking.items()))
            raise UsageError(f"leaderboard {name}: {why}")
        yield {name: parts for name, parts in files.items() if parts}, faults, lacking


def _all_of(block_list: Sequence[JobBlock], request: Request, out: Console) -> list[Tabled]:
    """The tables of each block, in their order; those that are not stored are made, the largest blocks first."""
    done = {
        place: tables
        for place, block in enumerate(block_list)
        if (tables := blocks.stored_tables(block, request))
    }
    missing = [place for place in range(len(block_list)) if place not in done]
    places = sorted(missing, key=lambda place: -len(block_list[place].jobs))
    if places:
        total = sum(len(block_list[place].jobs) for place in places)
        tabler = _pool(len(places)) if total >= MANY else nullcontext(_Here())
        with tabler as pool, Progress(console=out, transient=True) as progress:
            bar = progress.add_task("scoring and comparing", total=total)
            for over_tasks in (False, True):  # tables over tasks find the scores that the others have stored
                now = [place for place in places if block_list[place].over_tasks == over_tasks]
                waiting = {pool.submit(blocks.table, block_list[place], request): place for place in now}
                for future in as_completed(waiting):
                    place = waiting[future]
                    done[place] = future.result()
                    progress.advance(bar, len(block_list[place].jobs))
    return [done[place] for place in range(len(block_list))]


class _Here(Executor):
    """Does in this process what it is given, at once."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """What ``fn`` returns or raises, as a future that is done."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def _pool(tasks: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that are not forked from this one, whose threads a fork would lose. One thread each."""
    before = dict(os.environ)
    os.environ |= ONE_THREAD
    try:
        workers = min(tasks, len(os.sched_getaffinity(0)))
        context = importing_once(("pandas", "pyarrow.parquet", "scipy.stats"), ONE_THREAD)
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            yield pool
    finally:
        os.environ.clear()
        os.environ.update(before)
