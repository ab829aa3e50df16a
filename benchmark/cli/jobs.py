"""``status``, ``logs``, ``retry``, ``cancel`` and ``forget``: the states of the jobs in a store, and commands that change them."""

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
from ..core.strings import counted, printable
from ..store.job_folder import Submission
from ..store.store import Store
from .options import AsJson, Plugins, plugin_files

LOG = logging.getLogger("mmbench.jobs")

Where = Annotated[Path, typer.Option("--store", help="Folder of the results.")]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[JOB]...", help="Ids of jobs, or how they begin.")
]


def status(
    store: Where = Path("runs"),
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again and again until nothing runs.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare every file of the jobs that are done with its hash.")
    ] = False,
    output: Annotated[
        str, typer.Option("--format", help="text, or json: one object with every job.")
    ] = "text",
    as_json: AsJson = False,
    plugin: Plugins = None,
) -> None:
    """Show how many jobs are planned, queued, running, interrupted, done, failed, dead or cancelled. The exit code is 1 where a job
    failed, died, was cancelled or cannot be read, and with --verify where a file of one has changed.

    Examples:

    mmbench status --store runs --watch

    mmbench status --store runs --verify
    """
    from ..report.console import console
    from ..store.reader import store_at
    from .status import print_damage, print_status, states_of, status_json

    if output not in ("text", "json"):
        raise UsageError(f"--format {output!r}: write text or json")
    json = as_json or output == "json"
    if json and (watch or verify):
        flag = "--json" if as_json else "--format json"
        raise UsageError(f"{flag}: goes with neither --watch nor --verify")
    results, out, plugins = store_at(store), console(), plugin_files(plugin)
    if json:
        text, sound = status_json(results, states_of(results, plugins))
        typer.echo(text)
        raise SystemExit(0 if sound else 1)
    gc.disable()  # a collection among the records of ten thousand jobs is slow and frees nothing
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
    states = states_of(results, plugins)
    sound = print_status(results, out, states)
    if verify:
        sound = print_damage(results, out, states[0]) and sound
    if not sound:
        raise SystemExit(1)


def logs(
    job: Annotated[str, typer.Argument(help="Id of a job, or how it begins.")],
    store: Where = Path("runs"),
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 200,
) -> None:
    """Print what a job printed while it ran, and where the launcher that queued it keeps a log of its own.

    Example: mmbench logs mosi-erm-tav-s0
    """
    from ..store.reader import store_at

    results = store_at(store)
    for name in matching_ids(results, [job]):
        text = results.job(name).log()
        typer.echo(
            printable("\n".join(text.splitlines()[-lines:]))
            or f"{name}: it printed nothing; fit.json has its losses by epoch, failed.json the reason where it failed"
        )
        submission = results.job(name).submission()
        if submission:
            where = f"{submission.launcher} {submission.id}"
            typer.echo(printable(f"{where}: {submission.log or 'keeps no log of its own'}"), err=True)


def retry(
    names: Names = None,
    store: Where = Path("runs"),
    slurm: Annotated[
        str | None, typer.Option("--slurm", help="Changes to the options of SLURM: time=8h,mem=64G.")
    ] = None,
    launcher: Annotated[
        str | None, typer.Option("--launcher", help="Run them with another launcher.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Run failed, dead and cancelled jobs again, with the options of the run that they are from. Jobs that were
    interrupted go on from their last epoch.

    Example: mmbench retry --store runs --slurm time=8h,mem=64G
    """
    from ..launch.retry import plans_of
    from ..store.reader import store_at
    from .run import carry_out
    from .status import states_of

    results, plugins = store_at(store), plugin_files(plugin)
    selected = set(matching_ids(results, names)) if names else None
    records, faults = states_of(results, plugins)
    _print_faults(faults)
    broken = {record.job.id for record in records if record.state in (*BROKEN, "interrupted")}
    chosen = broken if selected is None else broken & selected
    if not chosen:
        typer.echo("nothing to retry: no such job failed, died or was cancelled")
        if faults:
            raise SystemExit(1)
        return
    plans = plans_of(results, chosen, slurm, launcher, plugins)
    unplanned = chosen - {job.id for planned in plans for job in planned.todo}
    for name in sorted(unplanned):
        LOG.warning("%s: no run of this store asks for it any more; run it by its own command", name)
    succeeded = [carry_out(planned) for planned in plans]
    if unplanned or faults or not all(succeeded):
        raise SystemExit(1)


def cancel(names: Names = None, store: Where = Path("runs"), plugin: Plugins = None) -> None:
    """Cancel jobs that wait or run in a queue, such as SLURM's. Jobs that were submitted together end together.

    Example: mmbench cancel --store runs
    """
    from ..store.reader import store_at
    from .status import states_of

    results, plugins = store_at(store), plugin_files(plugin)
    selected = set(matching_ids(results, names)) if names else None
    with results.launching():  # not while another command submits jobs and writes down where they are
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
            (one.launcher, one.id)
            for name, one in submissions.items()
            if selected is None or name in selected
        }
        cancelled = _cancel(chosen, plugins)
        unfinished = {
            name: one
            for name, one in sorted(submissions.items())
            if (one.launcher, one.id) in cancelled and not results.job(name).is_done()
        }
        with ThreadPoolExecutor(16) as pool:  # each waits for the disk
            noted = pool.map(lambda name: _note_cancelled(results, name, unfinished[name]), unfinished)
            ended = [name for name, was_cancelled in zip(unfinished, noted, strict=True) if was_cancelled]
    others = [name for name in ended if selected is not None and name not in selected]
    typer.echo(f"{counted(len(cancelled), 'submission')} cancelled, {counted(len(ended), 'job')} with them")
    for name in others:
        typer.echo(f"  cancelled too, because it was submitted together with one of these: {name}")
    if ended:
        typer.echo(f"mmbench retry --store {store} runs them again")


def forget(
    names: Names = None,
    store: Where = Path("runs"),
    other_versions: Annotated[
        bool,
        typer.Option("--other-versions", help="Only the jobs that this version of mmbench cannot read."),
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Take jobs without results out of a store, so that they are no holes in its tables: by default those that are planned and
    were never begun. Their folders go to STORE/set-aside; a run that asks for them plans them again.

    Examples:

    mmbench forget --store runs

    mmbench forget mosi-ebmc --store runs

    mmbench forget --other-versions --store runs
    """
    from ..store.reader import of_other_versions, store_at
    from .status import states_of

    results, plugins = store_at(store), plugin_files(plugin)
    if other_versions:
        if names:
            raise UsageError("--other-versions: forgets all of them, and goes with no names of jobs")
        with results.launching():
            folders = of_other_versions(results)
            for folder in folders:
                results.put_aside(folder)
        aside = f"{counted(len(folders), 'job')} moved to {results.path / 'set-aside'}"
        typer.echo(aside if folders else "nothing to forget: this version of mmbench wrote every job here")
        return
    selected = set(matching_ids(results, names)) if names else None
    with results.launching():  # not while another command writes down or submits jobs
        records, faults = states_of(results, plugins)
        _print_faults(faults)
        active = [record.job.id for record in records if record.state in ACTIVE]
        if selected is None and active:
            raise UsageError(
                f"{counted(len(active), 'job')} of {store} run or wait in a queue, and planned ones may be theirs: wait until "
                "they end, or name the jobs that are to be forgotten"
            )
        chosen = [
            record
            for record in records
            if (record.job.id in selected if selected is not None else record.state == "planned")
        ]
        for record in chosen:
            if record.state == "done":
                raise UsageError(
                    f"{record.job.id} is done: results are not forgotten; remove its folder yourself"
                )
            if record.state in ACTIVE:
                raise UsageError(f"{record.job.id} is {record.state}: end it first, as with mmbench cancel")
        for record in chosen:
            results.put_aside(record.job.id)
    if not chosen:
        typer.echo("nothing to forget: no job here is planned and was never begun; name jobs of other states")
        return
    typer.echo(f"{counted(len(chosen), 'job')} moved to {results.path / 'set-aside'}")


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
    from ..launch.detached import UnreachableError, launcher_class

    cancelled: set[tuple[str, str]] = set()
    for name in sorted({launcher for launcher, _ in submissions}):
        launcher = launcher_class(name, plugins)
        try:
            alive = launcher.alive({number for other, number in submissions if other == name})
            launcher.cancel(alive)
        except UnreachableError as error:
            raise UsageError(f"{name} does not answer: {error}") from None
        cancelled |= {(name, number) for number in alive}
    return cancelled


def _print_faults(faults: list[str]) -> None:
    """Logs a warning for each job that cannot be read."""
    for fault in faults:
        LOG.warning("%s", fault)


def _note_cancelled(store: Store, name: str, submission: Submission) -> bool:
    """Writes down that a job was cancelled, unless it is done.

    Args:
        store: the results.
        name: id of the job.
        submission: where it was queued.

    Returns:
        Whether it was cancelled.
    """
    _when_free(store, name)
    if store.job(name).is_done():
        return False
    store.job(name).fail(f"{submission.launcher} {submission.id}", cancelled=True)
    return True


def _when_free(store: Store, name: str, seconds: float = 60.0) -> None:
    """Waits until no process holds a job, so that what the process writes at its end is not overwritten.

    Args:
        store: the results.
        name: id of the job.
        seconds: how long to wait at most.
    """
    end = time.monotonic() + seconds
    while store.job(name).is_held() and time.monotonic() < end:
        time.sleep(0.1)


def matching_ids(store: Store, names: list[str]) -> list[str]:
    """The ids of the jobs that begin with given names.

    Args:
        store: the results.
        names: beginnings of ids.

    Raises:
        UsageError: no id begins with one of the names.
    """
    known = [file.parent.name for file in store.job_files()]
    matching: list[str] = []
    for name in names:
        fitting = [one for one in known if one.startswith(name)]
        if not fitting:
            raise UsageError(f"no job {name!r} in {store.path}: {nearest(name, known)}")
        matching += fitting
    return list(dict.fromkeys(matching))
