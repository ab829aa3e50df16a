"""What the command prints: the console and the state of a store."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from ..core.errors import UsageError
from ..core.states import BROKEN, STATES
from ..core.strings import duration
from ..report.console import print_faults
from ..search.trials import SearchProgress, count_trials, searches
from ..store.job_folder import Record
from ..store.store import Store

if TYPE_CHECKING:
    pass

#: Lines of the log of a job that failed.
LAST = 3


def states_of(store: Store) -> tuple[list[Record], list[str]]:
    """Every job and its state, and one line for each that cannot be read. What is queued is asked of SLURM, where it
    answers: it may be gone from there."""
    from ...slurm import queue

    records: list[Record] = []
    faults: list[str] = []
    for file in store.job_files():
        try:
            records.append(store.read_record(file))
        except (UsageError, ValueError) as error:  # a fault of the store among them
            faults.append(str(error))
    if not any(record.state == "queued" for record in records):
        return records, faults
    try:
        alive = queue.alive()
    except queue.UnreachableError:
        return records, faults
    numbers = {r.job.id: store.job(r.job.id).submission().get("id") for r in records if r.state == "queued"}
    endings = queue.endings(number for number in numbers.values() if number and number not in alive)

    def asked(record: Record) -> Record:
        number = numbers.get(record.job.id)
        if number is None or number in alive:
            return record
        again = store.record(record.job)  # it may have ended since
        if again.state != "queued":
            return again
        if (ending := endings.get(number, "")).startswith(queue.CANCELLED):
            return replace(again, state="cancelled", reason=f"SLURM {number} ({ending})")
        reason = f"SLURM {number} is gone without a result; mmbench retry runs it again"
        return replace(again, state="dead", reason=reason)

    return [asked(record) for record in records], faults


def print_status(store: Store, out: Console, states: tuple[list[Record], list[str]] | None = None) -> bool:
    """Prints the states of all jobs; whether all can be read, and none failed, died or was cancelled."""
    records, faults = states or states_of(store)
    counted = Counter(record.state for record in records)
    words = ", ".join(f"{counted[state]} {state}" for state in STATES if counted[state])
    out.print(f"{len(records)} jobs in {store.path}: {words}")
    if any(record.job.search for record in records):
        _print_searches(searches(store, records), out)
    _print_matrix(records, out)
    for record in records:
        if record.state == "running" and record.progress:
            out.print(f"running  {record.job.id}  {_how_far(record)}", markup=False, soft_wrap=True)
    for record in records:
        if record.state in BROKEN:
            out.print(f"{record.state}  {record.job.id}: {record.reason}", markup=False, soft_wrap=True)
            for line in last_words(store.job(record.job.id).log()):
                out.print(f"    {line}", markup=False, highlight=False, soft_wrap=True)
    print_faults(out, faults)
    return not faults and not any(counted[state] for state in BROKEN)


def _print_searches(found: list[SearchProgress], out: Console) -> None:
    """Prints how many trials and repeats there are, and which searches cannot choose."""
    counts = count_trials(found)
    words = {"chosen": "chose", "open": "go on", "broken": "have a failed trial"}
    ways = ", ".join(f"{counts[way]} {said}" for way, said in words.items() if counts[way])
    trials, repeats = f"{counts['trials']} trials", f"{counts['repeats']} repeats"
    out.print(f"of these {trials} and {repeats} of {len(found)} searches: {ways}", highlight=False)


def last_words(log: str) -> list[str]:
    """The last lines of a log; of one that ends with a fault of the interpreter, the fault and where it was."""
    lines = [line for line in log.splitlines() if line.strip()]
    fault = max((i for i, line in enumerate(lines) if line.startswith("Fatal Python error")), default=None)
    if fault is None:
        return lines[-LAST:]
    current = next((i for i in range(fault, len(lines)) if lines[i].startswith("Current thread")), fault)
    places = [line for line in lines[current:] if line.startswith("  File")]
    return [lines[fault], *places[: LAST - 1]]


def _print_matrix(records: list[Record], out: Console) -> None:
    """Prints jobs by task, modalities and method, with the number in each state. The lines are made here: rich
    takes half a second for a thousand rows."""
    rows: dict[tuple[str, ...], Counter[str]] = {}
    for record in records:
        job = record.job
        data = f"{job.task} (synthetic)" if job.synthetic else job.task
        label = f"{job.label} ({job.role})" if job.role else job.label
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


def _how_far(record: Record) -> str:
    progress = record.progress or {}
    left = progress.get("seconds_left")
    words = [f"epoch {progress.get('epoch')}/{progress.get('epochs')}"]
    if "metric" in progress:
        words.append(f"valid {progress['metric']:.3f}")
    if left is not None:
        words.append(f"{duration(left)} left")
    words.append(f"on {progress.get('host')}, process {progress.get('pid')}")
    if progress.get("slurm"):
        words.append(f"SLURM {progress['slurm']}")
    if "started" in progress:
        words.append(f"for {duration(max(0.0, time.time() - progress['started']))}")
    return ", ".join(words)
