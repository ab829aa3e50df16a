"""Leaderboards of many jobs, made part by part in several processes.

Rows are compared within a block: what has the same task and modalities. A part is some whole blocks.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
from rich.console import Console
from rich.progress import Progress

from .boards import BOARDS, chosen_boards, frames
from .errors import UsageError
from .scores import Filter, readable
from .store import Store, read_json

#: With fewer jobs the start of the processes takes longer than they save.
MANY = 100
#: Jobs of a part.
_SCORED, _UNSCORED = 200, 20


@dataclass(frozen=True)
class Part:
    """What one process made: leaderboard -> the file of its frame, and what could not be read."""

    files: dict[str, Path]
    faults: list[str]


def parts_of(store: Store) -> list[list[str]]:
    """The jobs of a store in parts of whole blocks: smaller ones where jobs are yet to be scored, so that
    progress can be seen."""
    parts: list[list[str]] = [[]]
    for jobs in _blocks(store):
        size = _SCORED if (store.folder(jobs[0]) / "scores").is_dir() else _UNSCORED
        if len(parts[-1]) >= size:
            parts.append([])
        parts[-1] += jobs
    return parts


def _blocks(store: Store) -> list[list[str]]:
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for file in store.job_files():
        values = read_json(file)
        row = values if isinstance(values, dict) else {}
        found[str(row.get("task")), str(row.get("modalities"))].append(file.parent.name)
    return list(found.values())


def made_in_parts(
    store: Store,
    chosen: Filter,
    what: str | None,
    parts: Sequence[Sequence[str]],
    out: Console,
    reference: str = "",
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The frames of the leaderboards that are asked for, and what could not be read.

    Args:
        store: the store.
        chosen: of which jobs.
        what: which leaderboards, as ``chosen_boards`` takes it.
        parts: the jobs of each part.
        out: where progress is shown.
        reference: the row that ``relative`` divides by; empty for the default.

    Raises:
        UsageError: an unknown leaderboard, or nothing was chosen, or there is nothing for one.
    """
    with TemporaryDirectory() as folder, _pool() as pool, Progress(console=out, transient=True) as progress:
        bar = progress.add_task("scoring and comparing", total=sum(map(len, parts)))
        names = None if what is None else [name.strip() for name in what.split(",")]
        own = ",".join(dict.fromkeys(BOARDS[n].source or n if n in BOARDS else n for n in names or ["all"]))
        waiting = {}
        for number, jobs in enumerate(parts):
            asked = replace(chosen, jobs=frozenset(jobs))
            waiting[pool.submit(_make, store.path, asked, own, reference, Path(folder) / str(number))] = (
                number
            )
        done: dict[int, Part | UsageError] = {}
        for future in as_completed(waiting):
            number = waiting[future]
            try:
                done[number] = future.result()
            except UsageError as error:  # nothing there in this part; in all of them, it is the user's fault
                done[number] = error
            progress.advance(bar, len(parts[number]))
        found = [part for _, part in sorted(done.items()) if isinstance(part, Part)]
        if not found:
            raise next(error for error in done.values() if isinstance(error, UsageError))
        made = {name: _together(name, found) for name in BOARDS if any(name in part.files for part in found)}
    for name, board in BOARDS.items():
        wanted = names is None or name in names or "all" in names
        if wanted and board.source in made:
            made |= _derived(name, made[board.source], names)
    asked = [name for name in made if names is None or name in names or "all" in names]
    return {name: made[name] for name in asked}, [fault for part in found for fault in part.faults]


def _derived(name: str, source: pd.DataFrame, names: Sequence[str] | None) -> dict[str, pd.DataFrame]:
    """A leaderboard that is made from another one's frame; none where that holds nothing for it."""
    try:
        made = BOARDS[name].make(source)
        return {} if made.empty and names is None else {name: made}
    except ValueError as error:
        if names is not None and name in names:
            raise UsageError(f"leaderboard {name}: {error}") from None
        return {}


def _make(store: Path, chosen: Filter, what: str, reference: str, folder: Path) -> Part:
    found, faults = readable(store, chosen)
    names = [name for name in chosen_boards(what, found) if not BOARDS[name].source]
    folder.mkdir()
    files = {}
    for name, frame in frames(names, found, reference):
        files[name] = folder / f"{name}.feather"
        feather.write_feather(pa.Table.from_pandas(frame), files[name], compression="uncompressed")
    return Part(files, faults)


def _together(name: str, parts: Sequence[Part]) -> pd.DataFrame:
    files = [part.files[name] for part in parts if name in part.files]
    made = [feather.read_feather(file, memory_map=False) for file in files]
    columns = dict.fromkeys(column for frame in made for column in frame)
    # An audit column that a part does not know is empty there, as in a frame made at once.
    filled = [frame.assign(**{str(c): "" for c in columns if c not in frame}) for frame in made]
    return pd.concat([frame[list(columns)] for frame in filled], ignore_index=True)


@contextmanager
def _pool() -> Iterator[ProcessPoolExecutor]:
    """Processes that are started anew: a fork of one with threads may hang. One thread each."""
    before = dict(os.environ)
    os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    try:
        with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
            yield pool
    finally:
        os.environ.clear()
        os.environ.update(before)
