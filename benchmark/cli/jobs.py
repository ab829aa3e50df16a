"""``status``, ``logs``, ``retry`` and ``cancel``: what became of the jobs, and what to do about it."""

from __future__ import annotations

import gc
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import UsageError, nearest
from ..core.states import BROKEN
from ..store.store import Store

LOG = logging.getLogger("mmbench.jobs")

Where = Annotated[Path, typer.Option("--store", help="Folder of the results.")]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[JOB]...", help="Ids of jobs, or how they begin.")
]


def status(
    store: Where = Path("runs"),
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew until nothing runs.")] = False,
) -> None:
    """Show what is planned, queued, running, done, failed, dead or cancelled. The exit code is 1 where something did not end well.

    Example: mmbench status --store runs --watch
    """
    from ..report.console import console
    from ..store.reader import store_at
    from .status import print_status, states_of

    found, out = store_at(store), console()
    gc.disable()  # among the records of ten thousand jobs it looks long, and in vain
    while watch and out.is_terminal:
        states = states_of(found)
        out.clear()
        print_status(found, out, states)
        if not any(record.state in ("queued", "running") for record in states[0]):
            break
        time.sleep(2)
    else:
        while watch and any(record.state in ("queued", "running") for record in states_of(found)[0]):
            time.sleep(2)
    if not print_status(found, out):
        raise SystemExit(1)


def logs(
    job: Annotated[str, typer.Argument(help="Id of a job, or how it begins.")],
    store: Where = Path("runs"),
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 200,
) -> None:
    """Print what a job said while it ran, and where its array task's own log lies.

    Example: mmbench logs mosi-erm-tav-s0
    """
    from ..store.reader import store_at

    found = store_at(store)
    for name in _named(found, [job]):
        text = found.job(name).log()
        typer.echo("\n".join(text.splitlines()[-lines:]) or f"{name}: said nothing")
        note = found.job(name).submission()
        if note:
            typer.echo(
                f"SLURM {note.get('id')}: {note.get('logs')}/{note.get('id')}_0_log.out and .err", err=True
            )


def retry(
    names: Names = None,
    store: Where = Path("runs"),
    slurm: Annotated[
        str | None, typer.Option("--slurm", help="What is to be other than before: time=8h,mem=64G.")
    ] = None,
    launcher: Annotated[str | None, typer.Option("--launcher", help="Run them by another launcher.")] = None,
) -> None:
    """Run failed, dead and cancelled jobs again, as they were asked for; those that were interrupted go on where they were.

    Example: mmbench retry --store runs --slurm time=8h,mem=64G
    """
    from ..launch.run import again
    from ..store.reader import store_at
    from .run import carry_out
    from .status import states_of

    found = store_at(store)
    wanted = set(_named(found, names)) if names else None
    records, faults = states_of(found)
    _say(faults)
    broken = {record.job.id for record in records if record.state in BROKEN}
    chosen = broken if wanted is None else broken & wanted
    if not chosen:
        typer.echo("nothing to retry: no such job failed, died or was cancelled")
        if faults:
            raise SystemExit(1)
        return
    plans = again(found, chosen, slurm, launcher)
    left = chosen - {job.id for planned in plans for job in planned.todo}
    for name in sorted(left):
        LOG.warning("%s: no run of this store asks for it any more; run it by its own command", name)
    ended = [carry_out(planned) for planned in plans]
    if left or faults or not all(ended):
        raise SystemExit(1)


def cancel(names: Names = None, store: Where = Path("runs")) -> None:
    """Cancel what is queued or running on SLURM. A job's array task ends with all of its jobs.

    Example: mmbench cancel --store runs
    """
    from ...slurm import queue
    from ..store.reader import store_at
    from .status import states_of

    found = store_at(store)
    wanted = set(_named(found, names)) if names else None
    with found.launching():  # what is being queued now is written down first
        records, faults = states_of(found)
        _say(faults)
        with_id = {
            record.job.id: number
            for record in records
            if record.state in ("queued", "running")
            and (number := str(found.job(record.job.id).submission().get("id", "")))
        }
        if not with_id:
            typer.echo("nothing to cancel: no job here is queued or running on SLURM")
            return
        try:
            alive = set(queue.alive())
            ids = {number for name, number in with_id.items() if wanted is None or name in wanted} & alive
            queue.cancel(ids)
        except queue.UnreachableError as error:
            raise UsageError(f"SLURM does not answer: {error}") from None
        cut = sorted(
            name for name, number in with_id.items() if number in ids and not found.job(name).is_done()
        )
        with ThreadPoolExecutor(16) as pool:  # each waits for the disk
            noted = pool.map(lambda name: _note_cancelled(found, name, with_id[name]), cut)
            ended = [name for name, was_cut in zip(cut, noted, strict=True) if was_cut]
    others = [name for name in ended if wanted is not None and name not in wanted]
    typer.echo(f"{len(ids)} array tasks cancelled, {len(ended)} jobs with them")
    for name in others:
        typer.echo(f"  with them, as it shared an array task: {name}")
    if ended:
        typer.echo(f"mmbench retry --store {store} runs them again")


def _say(faults: list[str]) -> None:
    """Says which jobs cannot be read."""
    for fault in faults:
        LOG.warning("%s", fault)


def _note_cancelled(store: Store, name: str, number: str) -> bool:
    """Notes that a job was cancelled, unless it came to its end before that; whether it was."""
    _when_free(store, name)
    if store.job(name).is_done():
        return False
    store.job(name).fail(f"SLURM {number}", cancelled=True)
    return True


def _when_free(store: Store, name: str, seconds: float = 60.0) -> None:
    """Waits until nobody is at a job, so that what it writes at its end is not written over."""
    end = time.monotonic() + seconds
    while store.job(name).is_held() and time.monotonic() < end:
        time.sleep(0.1)


def _named(store: Store, names: list[str]) -> list[str]:
    """The jobs that begin with each of some names. Raises UsageError where there is none."""
    known = [file.parent.name for file in store.job_files()]
    found: list[str] = []
    for name in names:
        fitting = [one for one in known if one.startswith(name)]
        if not fitting:
            raise UsageError(f"no job {name!r} in {store.path}: {nearest(name, known)}")
        found += fitting
    return list(dict.fromkeys(found))
