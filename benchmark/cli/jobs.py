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
from ..core.states import ACTIVE, BROKEN
from ..core.strings import printable
from ..store.job_folder import Submission
from ..store.store import Store

LOG = logging.getLogger("mmbench.jobs")

Where = Annotated[Path, typer.Option("--store", help="Folder of the results.")]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[JOB]...", help="Ids of jobs, or how they begin.")
]
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="A file that brings the launcher that has the jobs.")
]


def status(
    store: Where = Path("runs"),
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew until nothing runs.")] = False,
    plugin: Plugins = None,
) -> None:
    """Show what is planned, queued, running, done, failed, dead or cancelled. The exit code is 1 where something did not end well.

    Example: mmbench status --store runs --watch
    """
    from ..report.console import console
    from ..store.reader import store_at
    from .status import print_status, states_of

    results, out, plugins = store_at(store), console(), tuple(plugin or ())
    gc.disable()  # among the records of ten thousand jobs it looks long, and in vain
    while watch and out.is_terminal:
        states = states_of(results, plugins)
        out.clear()
        print_status(results, out, states)
        if not any(record.state in ACTIVE for record in states[0]):
            break
        time.sleep(2)
    else:
        while watch and any(record.state in ACTIVE for record in states_of(results, plugins)[0]):
            time.sleep(2)
    if not print_status(results, out, states_of(results, plugins)):
        raise SystemExit(1)


def logs(
    job: Annotated[str, typer.Argument(help="Id of a job, or how it begins.")],
    store: Where = Path("runs"),
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 200,
) -> None:
    """Print what a job said while it ran, and where the own log of the launcher that queued it lies.

    Example: mmbench logs mosi-erm-tav-s0
    """
    from ..store.reader import store_at

    results = store_at(store)
    for name in _matching(results, [job]):
        text = results.job(name).log()
        typer.echo(printable("\n".join(text.splitlines()[-lines:])) or f"{name}: said nothing")
        submission = results.job(name).submission()
        if submission:
            where = f"{submission.launcher} {submission.id}"
            typer.echo(printable(f"{where}: {submission.log or 'keeps no log of its own'}"), err=True)


def retry(
    names: Names = None,
    store: Where = Path("runs"),
    slurm: Annotated[
        str | None, typer.Option("--slurm", help="Changes to what was asked of SLURM: time=8h,mem=64G.")
    ] = None,
    launcher: Annotated[
        str | None, typer.Option("--launcher", help="Run them with another launcher.")
    ] = None,
) -> None:
    """Run failed, dead and cancelled jobs again, as they were asked for; those that were interrupted go on where they were.

    Example: mmbench retry --store runs --slurm time=8h,mem=64G
    """
    from ..launch.retry import plans_of
    from ..store.reader import store_at
    from .run import carry_out
    from .status import states_of

    results = store_at(store)
    wanted = set(_matching(results, names)) if names else None
    records, faults = states_of(results)
    _print_faults(faults)
    broken = {record.job.id for record in records if record.state in BROKEN}
    chosen = broken if wanted is None else broken & wanted
    if not chosen:
        typer.echo("nothing to retry: no such job failed, died or was cancelled")
        if faults:
            raise SystemExit(1)
        return
    plans = plans_of(results, chosen, slurm, launcher)
    left = chosen - {job.id for planned in plans for job in planned.todo}
    for name in sorted(left):
        LOG.warning("%s: no run of this store asks for it any more; run it by its own command", name)
    ended = [carry_out(planned) for planned in plans]
    if left or faults or not all(ended):
        raise SystemExit(1)


def cancel(names: Names = None, store: Where = Path("runs"), plugin: Plugins = None) -> None:
    """Cancel jobs that wait or run in a queue, such as SLURM's. Jobs that were submitted as one end together.

    Example: mmbench cancel --store runs
    """
    from ..store.reader import store_at
    from .status import states_of

    results, plugins = store_at(store), tuple(plugin or ())
    wanted = set(_matching(results, names)) if names else None
    with results.launching():  # what is being queued now is written down first
        records, faults = states_of(results, plugins)
        _print_faults(faults)
        queued = {
            record.job.id: results.job(record.job.id).submission()
            for record in records
            if record.state in ACTIVE
        }
        submissions = {name: one for name, one in queued.items() if one}
        if not submissions:
            typer.echo("nothing to cancel: no job here waits or runs in a queue")
            return
        chosen = {
            (one.launcher, one.id) for name, one in submissions.items() if wanted is None or name in wanted
        }
        cancelled = _cancel(chosen, plugins)
        cut = {
            name: one
            for name, one in sorted(submissions.items())
            if (one.launcher, one.id) in cancelled and not results.job(name).is_done()
        }
        with ThreadPoolExecutor(16) as pool:  # each waits for the disk
            noted = pool.map(lambda name: _note_cancelled(results, name, cut[name]), cut)
            ended = [name for name, was_cut in zip(cut, noted, strict=True) if was_cut]
    others = [name for name in ended if wanted is not None and name not in wanted]
    typer.echo(f"{len(cancelled)} submissions cancelled, {len(ended)} jobs with them")
    for name in others:
        typer.echo(f"  with them, as it was submitted together with one of these: {name}")
    if ended:
        typer.echo(f"mmbench retry --store {store} runs them again")


def _cancel(submissions: set[tuple[str, str]], plugins: tuple[Path, ...]) -> set[tuple[str, str]]:
    """Cancels submissions.

    Args:
        submissions: the name of a launcher, and an id there.
        plugins: files that bring launchers.

    Returns:
        Those that had not ended yet.

    Raises:
        UsageError: a launcher is not known, or does not answer.
    """
    from ..launch.detached import UnreachableError, launcher_named

    cancelled: set[tuple[str, str]] = set()
    for name in sorted({launcher for launcher, _ in submissions}):
        launcher = launcher_named(name, plugins)
        try:
            alive = launcher.alive({number for other, number in submissions if other == name})
            launcher.cancel(alive)
        except UnreachableError as error:
            raise UsageError(f"{name} does not answer: {error}") from None
        cancelled |= {(name, number) for number in alive}
    return cancelled


def _print_faults(faults: list[str]) -> None:
    """Prints which jobs cannot be read."""
    for fault in faults:
        LOG.warning("%s", fault)


def _note_cancelled(store: Store, name: str, submission: Submission) -> bool:
    """Notes that a job was cancelled, unless it was done before; whether it was cancelled."""
    _when_free(store, name)
    if store.job(name).is_done():
        return False
    store.job(name).fail(f"{submission.launcher} {submission.id}", cancelled=True)
    return True


def _when_free(store: Store, name: str, seconds: float = 60.0) -> None:
    """Waits until no process holds a job, so that what it writes at its end is not written over."""
    end = time.monotonic() + seconds
    while store.job(name).is_held() and time.monotonic() < end:
        time.sleep(0.1)


def _matching(store: Store, names: list[str]) -> list[str]:
    """The ids of jobs that begin with one of some names. Raises UsageError for a name that none begins with."""
    known = [file.parent.name for file in store.job_files()]
    matching: list[str] = []
    for name in names:
        fitting = [one for one in known if one.startswith(name)]
        if not fitting:
            raise UsageError(f"no job {name!r} in {store.path}: {nearest(name, known)}")
        matching += fitting
    return list(dict.fromkeys(matching))
