"""The state of a store, as the command prints it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ..core.errors import UsageError
from ..core.states import ACTIVE, BROKEN, STATES
from ..core.strings import counted, duration
from ..report.console import print_faults
from ..search.trials import SearchProgress, count_trials, searches
from ..store.damage import damage
from ..store.job_folder import Record
from ..store.reader import fault_lines, no_jobs
from ..store.store import Store

if TYPE_CHECKING:
    from ..launch.detached import Ending

#: Lines of the log of a job that failed.
LAST = 3


def states_of(store: Store, plugins: tuple[Path, ...] = ()) -> tuple[list[Record], list[str]]:
    """The state of every job. For queued jobs, the launcher asks its queue whether it still has them.

    Args:
        store: the results.
        plugins: files that bring launchers.

    Returns:
        The jobs with their states, and one line for each job that cannot be read.
    """
    records: list[Record] = []
    faults: list[Exception] = []
    for file in store.job_files():
        try:
            records.append(store.read_record(file))
        except (UsageError, ValueError) as error:  # a fault of the store among them
            faults.append(error)
    gone = _gone_from_queues(store, [record for record in records if record.state == "queued"], plugins)
    return [gone.get(record.job.id, record) for record in records], fault_lines(store, faults)


def _gone_from_queues(store: Store, queued: list[Record], plugins: tuple[Path, ...]) -> dict[str, Record]:
    """Id -> state now, of the queued jobs that their launcher no longer has."""
    jobs = {record.job.id: record.job for record in queued}
    submissions = {name: one for name in jobs if (one := store.job(name).submission())}
    gone: dict[str, Record] = {}
    for launcher in sorted({one.launcher for one in submissions.values()}):
        ids = {name: one.id for name, one in submissions.items() if one.launcher == launcher}
        for name, ending in _endings(launcher, ids, plugins).items():
            record, where = store.record(jobs[name]), f"{launcher} {ids[name]}"
            if record.state != "queued":  # it has started or ended meanwhile
                pass
            elif ending and ending.cancelled:
                record = replace(record, state="cancelled", reason=f"{where} ({ending.how})")
            else:
                reason = f"{where} is gone without a result; mmbench retry runs it again"
                record = replace(record, state="dead", reason=reason)
            gone[name] = record
    return gone


def _endings(launcher: str, ids: Mapping[str, str], plugins: tuple[Path, ...]) -> dict[str, Ending | None]:
    """The queued jobs that their launcher no longer has.

    Args:
        launcher: its name.
        ids: job -> id of its submission there.
        plugins: files that bring launchers.

    Returns:
        Job -> how its submission ended, None where the launcher cannot tell. Empty where the launcher does not
        answer or is not known here: then what the store says holds.
    """
    from ..launch.detached import UnreachableError, launcher_class

    try:
        queue = launcher_class(launcher, plugins)
        alive = queue.alive(set(ids.values()))
    except (UnreachableError, UsageError):
        return {}
    endings = queue.endings(set(ids.values()) - alive)
    return {name: endings.get(number) for name, number in ids.items() if number not in alive}


def print_status(store: Store, out: Console, states: tuple[list[Record], list[str]] | None = None) -> bool:
    """Prints the states of all jobs.

    Args:
        store: the results.
        out: where to print.
        states: as ``states_of`` gives them; they are looked up if None.

    Returns:
        Whether all jobs can be read, and none failed, died or was cancelled.
    """
    records, faults = states or states_of(store)
    if not (records or faults):
        out.print(no_jobs(store), markup=False, highlight=False, soft_wrap=True)
        return True
    number_of = Counter(record.state for record in records)
    words = ", ".join(f"{number_of[state]} {state}" for state in STATES if number_of[state])
    out.print(f"{counted(len(records), 'job')} in {store.path}{f': {words}' if words else ''}")
    if any(record.job.search for record in records):
        _print_searches(searches(store, records), out)
    if records:
        _print_matrix(records, out)
    if number_of["planned"] and not any(number_of[state] for state in ACTIVE):
        out.print(_waiting(number_of["planned"], store), markup=False, highlight=False, soft_wrap=True)
    for record in records:
        if record.state == "running" and record.progress:
            out.print(f"running  {record.job.id}  {_progress_words(record)}", markup=False, soft_wrap=True)
    for record in records:
        if record.state in (*BROKEN, "interrupted"):
            out.print(f"{record.state}  {record.job.id}: {record.reason}", markup=False, soft_wrap=True)
            for line in last_words(store.job(record.job.id).log()):
                out.print(f"    {line}", markup=False, highlight=False, soft_wrap=True)
    print_faults(out, faults)
    return not faults and not any(number_of[state] for state in BROKEN)


def _waiting(count: int, store: Store) -> str:
    """What can be done with jobs that are planned, where nothing runs."""
    it, them = ("is a hole", "it") if count == 1 else ("are holes", "them")
    return (
        f"{counted(count, 'planned job')} {it} in every table: the run that planned {them} goes on with {them}, "
        f"mmbench forget --store {store.path} takes {them} out"
    )


def print_damage(store: Store, out: Console, records: list[Record]) -> bool:
    """Compares the files of finished jobs with their hashes, and prints those that have changed.

    Args:
        store: the results.
        out: where to print.
        records: of all jobs.

    Returns:
        Whether nothing has changed.
    """
    done = [record.job.id for record in records if record.state == "done"]
    found = [line for name in done for line in damage(store.job(name))]
    print_faults(out, found)
    if not found:
        out.print(f"every file of {counted(len(done), 'job')} that are done is what was written")
    return not found


def status_json(store: Store, states: tuple[list[Record], list[str]]) -> tuple[str, bool]:
    """The states of all jobs for a program.

    Args:
        store: the results.
        states: as ``states_of`` gives them.

    Returns:
        A JSON object, and what ``print_status`` returns. ``jobs`` holds one object a job with its id, state, reason and
        progress and what it is; ``counts`` the number of jobs in each state; ``faults`` a line for each job that cannot be
        read.
    """
    records, faults = states
    number_of = Counter(record.state for record in records)
    jobs: list[dict[str, Any]] = []
    for record in records:
        job = record.job
        what = {"task": job.task, "modalities": job.modalities, "method": job.label, "seed": job.seed}
        state = {"state": record.state, "reason": record.reason, "progress": record.progress}
        jobs.append({"id": job.id, **what, "synthetic": job.synthetic, **state})
    about = {"store": str(store.path), "counts": dict(number_of), "jobs": jobs, "faults": faults}
    return json.dumps(about, indent=1), not faults and not any(number_of[state] for state in BROKEN)


def _print_searches(progress: list[SearchProgress], out: Console) -> None:
    """Prints how many trials and repeats there are, and which searches cannot choose."""
    counts = count_trials(progress)
    words = {"chosen": "chose", "open": "go on", "broken": "have a failed trial"}
    states = ", ".join(f"{counts[state]} {word}" for state, word in words.items() if counts[state])
    trials, repeats = counted(counts["trials"], "trial"), counted(counts["repeats"], "repeat")
    number = counted(len(progress), "search", "searches")
    out.print(f"of these {trials} and {repeats} of {number}: {states}", highlight=False)


def last_words(log: str) -> list[str]:
    """The last lines of a log. If the interpreter crashed, the message of the crash and the lines of code it was at."""
    lines = [line for line in log.splitlines() if line.strip()]
    fault = max((i for i, line in enumerate(lines) if line.startswith("Fatal Python error")), default=None)
    if fault is None:
        return lines[-LAST:]
    current = next((i for i in range(fault, len(lines)) if lines[i].startswith("Current thread")), fault)
    places = [line for line in lines[current:] if line.startswith("  File")]
    return [lines[fault], *places[: LAST - 1]]


def _print_matrix(records: list[Record], out: Console) -> None:
    """Prints jobs by task, modalities and method, with the number in each state. The lines are laid out here, because a
    table of rich takes half a second for a thousand rows."""
    rows: dict[tuple[str, ...], Counter[str]] = {}
    for record in records:
        job = record.job
        data = f"{job.task} (synthetic)" if job.synthetic else job.task
        label = f"{job.label} ({job.role})" if job.role else job.label
        data += f" [{job.fold.rule}]" if job.fold else ""
        rows.setdefault((data, job.modality_set, label), Counter())[record.state] += 1
    shown = [state for state in STATES if any(counter[state] for counter in rows.values())]
    lines: list[tuple[str, ...]] = [("task", "modalities", "method", *shown)]
    for names, counter in sorted(rows.items()):
        lines.append((*names, *(str(counter[state] or "") for state in shown)))
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for place, line in enumerate(lines):
        cells = [cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)]
        style = "bold" if place == 0 else None
        out.print(Text("  " + "    ".join(cells).rstrip()), style=style, soft_wrap=True)


def _progress_words(record: Record) -> str:
    """The progress of a running job: epoch, validation metric, time left, and the process that trains it."""
    progress = record.progress or {}
    left = progress.get("seconds_left")
    words = [f"epoch {progress.get('epoch')}/{progress.get('epochs')}"]
    if "metric" in progress:
        words.append(f"valid {progress['metric']:.3f}")
    if left is not None:
        words.append(f"{duration(left)} left")
    words.append(f"on {progress.get('host')}, process {progress.get('pid')}")
    if (place := progress.get("origin")) and isinstance(place, dict):
        words.append(f"{place.get('launcher')} {place.get('id')}")
    if "started" in progress:
        words.append(f"for {duration(max(0.0, time.time() - progress['started']))}")
    return ", ".join(words)
