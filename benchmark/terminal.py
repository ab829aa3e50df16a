"""What the command prints: the console and the state of a store."""

from __future__ import annotations

import os
from collections import Counter

from rich.console import Console
from rich.table import Table

from .progress import duration
from .store import Record, Store

STATES = ("done", "running", "planned", "failed", "dead")


def console() -> Console:
    """Standard output; as wide as its content where it is no terminal, so that logs are not folded."""
    terminal = Console()
    if terminal.is_terminal or "COLUMNS" in os.environ:
        return terminal
    return Console(width=200)


def print_status(store: Store, out: Console) -> bool:
    """Prints the states of all jobs; whether none failed or died."""
    records = list(store)
    states = Counter(record.state for record in records)
    out.print(
        f"{len(records)} jobs in {store.path}: " + ", ".join(f"{states[s]} {s}" for s in STATES if states[s])
    )
    out.print(_matrix(records))
    for record in records:
        if record.state == "running" and record.progress:
            out.print(f"running  {record.job.id}  {_how_far(record)}", markup=False, soft_wrap=True)
    for record in records:
        if record.state in ("failed", "dead"):
            out.print(f"{record.state}  {record.job.id}: {record.reason}", markup=False, soft_wrap=True)
    return not (states["failed"] or states["dead"])


def _matrix(records: list[Record]) -> Table:
    """Jobs by task, modalities and method, with the number in each state."""
    rows: dict[tuple[str, str, str], Counter[str]] = {}
    for record in records:
        job = record.job
        data = f"{job.task} (synthetic)" if job.synthetic else job.task
        rows.setdefault((data, job.modality_set, job.label), Counter())[record.state] += 1
    shown = [state for state in STATES if any(counter[state] for counter in rows.values())]
    table = Table("task", "modalities", "method", *shown, box=None, padding=(0, 2), header_style="bold")
    for names, counter in sorted(rows.items()):
        table.add_row(*names, *(str(counter[state] or "") for state in shown))
    return table


def _how_far(record: Record) -> str:
    progress = record.progress or {}
    left = progress.get("seconds_left")
    words = [f"epoch {progress.get('epoch')}/{progress.get('epochs')}"]
    if "metric" in progress:
        words.append(f"valid {progress['metric']:.3f}")
    if left is not None:
        words.append(f"{duration(left)} left")
    words.append(f"on {progress.get('host')}, process {progress.get('pid')}")
    return ", ".join(words)
