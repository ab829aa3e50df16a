"""Tables of one block (a task with its modalities), stored until something of the block changes.

Rows are compared within a block and with nothing outside it. So tables over a benchmark that still runs make only
those blocks anew in which a job has ended, and read the others. What is stored may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ...leaderboards.catalog import Table
from ...leaderboards.tables.results import Result
from ..core.atomic_files import read_json
from ..core.errors import UsageError
from ..store.names import StoreError
from ..store.store import Store
from .block_files import pack, why_empty, write_block
from .chosen_tables import known_tables, use_metrics
from .output_cache import RECORDS, signature_of_jobs
from .results import Filter, readable

#: Why a table that nobody named has no rows where it does not even need what the jobs have.
NO_RESULTS = "there are no results for it"


@dataclass(frozen=True)
class JobBlock:
    """The jobs of one task and modality set.

    Attributes:
        task: its name.
        modalities: their names.
        jobs: their folders.
        beside: the jobs on the target alone, by which a shift may be bounded.
        singles: the jobs on single modalities of the set, where it has several.
        over_tasks: whether these are the jobs of all tasks with these modalities, for tables over tasks.
    """

    task: str
    modalities: tuple[str, ...]
    jobs: tuple[str, ...]
    beside: tuple[str, ...] = ()
    singles: tuple[str, ...] = ()
    over_tasks: bool = False

    @property
    def every(self) -> tuple[str, ...]:
        """All jobs that its tables can be made of."""
        return (*self.jobs, *self.beside, *self.singles)

    @property
    def key(self) -> str:
        """16 hexadecimal digits that stand for task and modalities."""
        named = [self.task, self.modalities, *(["over tasks"] if self.over_tasks else [])]
        return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Tabled:
    """What was made of a block.

    Attributes:
        files: table -> file of its rows.
        nothing: table -> why it has no rows, though the user named it or its results seemed to be there.
        faults: what could not be read.
        unfit: why no job of the block was chosen; empty where one was.
    """

    files: dict[str, Path]
    nothing: dict[str, str]
    faults: list[str]
    unfit: str = ""


@dataclass(frozen=True)
class Request:
    """What is asked of every block.

    Attributes:
        store: folder of the results.
        chosen: of which jobs.
        names: tables that the user named; None for all that there are results for.
        reference: the row that ``relative`` divides by; empty for the default.
        code: a hash of the code that makes tables.
        aside: a folder for what is not to be stored.
        plugins: plug-in files that bring tables or metrics.
    """

    store: Path
    chosen: Filter
    names: tuple[str, ...] | None
    reference: str
    code: str
    aside: Path
    plugins: tuple[Path, ...] = ()

    def keeps(self, block: JobBlock) -> bool:
        """Whether others will ask the same of a block: nothing of it is left out, nothing is special.

        Args:
            block: whose tables.
        """
        some = block.over_tasks and self.chosen.tasks
        chosen = self.chosen
        special = (
            chosen.methods
            or chosen.seeds
            or chosen.modalities
            or chosen.ensemble
            or chosen.lead
            or self.reference
        )
        return not (special or some)

    @property
    def wanted(self) -> tuple[str, ...]:
        """The tables to make, where there are results for them."""
        return made_of_results(self.tables) if self.names is None else self.names

    def wanted_of(self, block: JobBlock) -> tuple[str, ...]:
        """The tables to make of a block: those of one task, or those over tasks.

        Args:
            block: whose.
        """
        tables = self.tables
        return tuple(name for name in self.wanted if tables[name].over_tasks == block.over_tasks)

    @property
    def tables(self) -> dict[str, Table]:
        """Every table that is known; not part of the request, which is sent to other processes."""
        return known_tables(self.plugins)


def made_of_results(tables: Mapping[str, Table]) -> tuple[str, ...]:
    """The names of the tables that are made of results, and not of another table."""
    return tuple(name for name, table in tables.items() if not table.source)


def blocks_of(store: Store) -> list[JobBlock]:
    """The blocks of a store in the order of the tables: in-domain tasks first, fewer modalities first."""
    jobs_of: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for file in store.job_files():
        values = read_json(file)
        row = values if isinstance(values, dict) else {}
        names = row.get("modalities")
        modalities = tuple(map(str, names)) if isinstance(names, list) else ()
        jobs_of.setdefault((str(row.get("task")), modalities), []).append(file.parent.name)
    alone = {(task, frozenset(modalities)): tuple(jobs) for (task, modalities), jobs in jobs_of.items()}
    blocks = [
        JobBlock(
            task,
            modalities,
            tuple(jobs),
            alone.get((task.partition("->")[2], frozenset(modalities)), ()),
            _singles(alone, task, modalities),
        )
        for (task, modalities), jobs in jobs_of.items()
    ]
    blocks.sort(key=lambda block: ("->" in block.task, block.task, len(block.modalities), block.key))
    return [*blocks, *_over_tasks(blocks)]


def _over_tasks(blocks: Sequence[JobBlock]) -> Iterator[JobBlock]:
    """The jobs of the shifts of each modality set that has several."""
    shifts: dict[tuple[str, ...], list[JobBlock]] = {}
    for block in blocks:
        if "->" in block.task:
            shifts.setdefault(block.modalities, []).append(block)
    for modalities, members in shifts.items():
        if len(members) > 1:
            jobs = tuple(job for block in members for job in block.jobs)
            yield JobBlock("", modalities, jobs, over_tasks=True)


def _singles(
    jobs: Mapping[tuple[str, frozenset[str]], tuple[str, ...]], task: str, modalities: tuple[str, ...]
) -> tuple[str, ...]:
    """The jobs of a task on single modalities of a set of several.

    Args:
        jobs: task and modalities -> jobs.
        task: its name.
        modalities: the set.
    """
    if len(modalities) < 2:
        return ()
    return tuple(job for name in modalities for job in jobs.get((task, frozenset([name])), ()))


def stored_tables(block: JobBlock, request: Request) -> Tabled | None:
    """The tables of a block, where they are stored and still those of its jobs.

    Args:
        block: whose.
        request: which tables, and whether any are kept.

    Returns:
        None where nothing is stored, or something has changed since.
    """
    if not request.keeps(block):
        return None
    store = Store(request.store)
    return _stored(block, request, signature_of_jobs(store.path, block.every, request.code))


def table(block: JobBlock, request: Request) -> Tabled:
    """The tables of a block; made, and stored for the next time, where they are not.

    Args:
        block: whose.
        request: which tables, and whether they are kept.

    Returns:
        The tables, and what could not be read.
    """
    store = Store(request.store)
    # Taken before anything is read: what changes meanwhile makes the next look different.
    signature = signature_of_jobs(store.path, block.every, request.code)
    tables = _stored(block, request, signature) if request.keeps(block) else None
    return _make(block, request, signature) if tables is None else tables


def _stored(block: JobBlock, request: Request, signature: str) -> Tabled | None:
    files = {
        name: folder_of(request.store) / block_file_name(block, name) for name in request.wanted_of(block)
    }
    known = {name: why_empty(file, signature) for name, file in files.items()}
    if any(why is None or (why and request.names is not None) for why in known.values()):
        return None
    rows = {name: file for name, file in files.items() if not known[name]}
    return Tabled(rows, {name: why for name, why in known.items() if why and why != NO_RESULTS}, [])


def _make(block: JobBlock, request: Request, signature: str) -> Tabled:
    use_metrics(request.plugins)
    try:
        chosen = replace(request.chosen, jobs=frozenset(block.jobs))
        results, faults = readable(request.store, chosen)
    except StoreError as error:
        return Tabled({}, {}, [str(error)])
    except UsageError as error:
        return Tabled({}, {}, [], unfit=str(error))
    # With a fault the next look is another; and where the store cannot be written, all is made again.
    folder = folder_of(request.store)
    linked = folder.is_symlink() or folder.parent.is_symlink()
    folders = [request.aside] if faults or linked or not request.keeps(block) else [folder, request.aside]
    files: dict[str, Path] = {}
    nothing: dict[str, str] = {}
    full: set[str] = set()
    for name, rows in _frames(block, results, request):
        if not isinstance(rows, str):
            full.add(name)
        else:
            nothing |= {} if rows == NO_RESULTS else {name: rows}
        content = pack(rows, signature)
        for place in folders:
            with suppress(OSError):
                files[name] = write_block(place / block_file_name(block, name), content)
                break
    return Tabled({name: file for name, file in files.items() if name in full}, nothing, faults)


def block_file_name(block: JobBlock, name: str) -> str:
    """The name under which a table of a block is stored.

    Args:
        block: whose.
        name: of the table.

    Returns:
        A name without a folder.
    """
    return f"{block.key}-{name}.arrow"


def folder_of(store: Path) -> Path:
    """Where the tables of the blocks of a store are stored."""
    return store / RECORDS / "blocks"


def _results_on_singles(block: JobBlock, request: Request) -> list[Result]:
    """The results on single modalities beside a block, where a table reads them."""
    if not block.singles or not any(request.tables[name].singles for name in request.wanted):
        return []
    chosen = replace(request.chosen, jobs=frozenset(block.singles))
    try:
        return [one for one in readable(request.store, chosen)[0] if not one.bound]
    except (StoreError, UsageError):  # none can be read, which their own blocks say, or none was chosen
        return []


def _frames(
    block: JobBlock, results: list[Result], request: Request
) -> Iterator[tuple[str, pd.DataFrame | str]]:
    """The frame of each table, or why there is none.

    Args:
        block: whose.
        results: of its jobs.
        request: which tables.
    """
    both = [*results, *_results_on_singles(block, request)]
    for name in request.wanted_of(block):
        declared = request.tables[name]
        given = both if declared.singles else results
        if request.names is None and not declared.needs(given):
            yield name, NO_RESULTS
            continue
        try:
            yield name, declared.make(given, request.reference)
        except ValueError as error:
            yield name, str(error)
