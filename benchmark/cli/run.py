"""Runs a plan at the terminal: shows progress, explains an interruption, lists what failed."""

from __future__ import annotations

import signal

from rich.console import Console

from ..core.strings import counted
from ..launch.launcher import launcher_for
from ..launch.plan import Plan
from ..launch.run import context_for, run
from ..planning.notes import notes
from ..report.console import console
from ..search.study import Wave
from ..store.locks import STALE
from .progress import show_progress


def carry_out(planned: Plan) -> bool:
    """Runs a plan and shows its progress; returns whether every job is done. Ctrl-C ends the program."""
    out = console()
    store = planned.experiment.store
    launcher = launcher_for(planned.experiment, planned.remaining)  # what is wrong with it is said first
    data = " [yellow](synthetic data)[/]" if any(job.synthetic for job in planned.jobs) else ""
    pruned = f"{planned.pruned_trials} pruned, " if planned.pruned_trials else ""
    counts = f"{counted(planned.networks, 'job')}, {len(planned.done)} done before, {pruned}{planned.remaining} to do"
    trained = sum(planned.store.job(job.id).is_done() for job in planned.todo)
    counts += f", {trained} of them by testing alone" if trained else ""
    out.print(f"{counts}; results in {store}{data}")
    print_suite(planned, out)
    print_notes(planned, out)
    if not launcher.detached:
        _print_held(planned, out)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # ended by another is ended as by Ctrl-C
    try:
        summary = run(planned, showing=lambda jobs: show_progress(jobs, planned.store, out))
        if planned.remaining:
            from ..report.score_job import table_blocks

            table_blocks(planned.store, out)
    except KeyboardInterrupt:
        out.print("[yellow]interrupted[/]: run the same command again to resume")
        if launcher.detached:
            out.print(
                f"the jobs go on without it. Watch: mmbench status --store {store} --watch; "
                f"end them: mmbench cancel --store {store}"
            )
        raise SystemExit(130) from None
    if not summary.ok:
        waiting = summary.planned - summary.done - summary.pruned - len(summary.failed)
        more = f"; {waiting} wait for them" if waiting else ""
        out.print(f"[red]{len(summary.failed)} of {counted(summary.planned, 'job')} failed[/]{more}:")
        for outcome in summary.failed:
            out.print(f"  {outcome.job_id}: {outcome.reason}", markup=False, soft_wrap=True)
        out.print(
            f"details: {planned.store.jobs_folder}/<job>/failed.json; the same command tries them again"
        )
        return False
    ended = f"{counted(summary.done, 'job')} done, {summary.pruned} pruned" if summary.pruned else ""
    ended = ended or ("the job is done" if summary.planned == 1 else f"all {summary.planned} jobs done")
    out.print(f"{ended}; see them with: mmbench leaderboard --store {store}")
    return True


def _print_held(planned: Plan, out: Console) -> None:
    """Prints which jobs another process holds, for which this run waits."""
    for job in planned.todo:
        other = planned.store.job(job.id).holder()
        if other is not None:
            who = f"process {other.get('pid', '?')} on {other.get('host', 'another machine')}"
            out.print(
                f"{job.id}: {who} is at it; waited for, and taken over after {STALE:.0f} s without a sign of life",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )


def preview(planned: Plan) -> None:
    """Prints what the launcher would do with a plan, and starts nothing."""
    launcher = launcher_for(planned.experiment, planned.remaining)
    context = context_for(planned, launcher.device, Wave(planned.todo, True, {}))
    text = launcher.preview(planned.todo, context)
    console().print(text, markup=False, highlight=False, soft_wrap=True)


def print_notes(planned: Plan, out: Console) -> None:
    """Prints what in an experiment may not be what was meant.

    Args:
        planned: its plan.
        out: where to print.
    """
    for line in notes(planned.experiment):
        out.print(f"note: {line}", markup=False, highlight=False, soft_wrap=True)


def print_suite(planned: Plan, out: Console) -> None:
    """Prints how many tasks of a suite are taken, and what the networks are tested under.

    Args:
        planned: the plan of an experiment; without a suite nothing is printed.
        out: where to print.
    """
    from ..planning.suites import SUITES

    if planned.experiment.suite is None:
        return
    listed = {(item.name, frozenset(item.modalities)) for item in SUITES[planned.experiment.suite]()}
    taken = listed & {(job.task, frozenset(job.modalities)) for job in planned.jobs}
    more = "; all: --preset standard" if planned.experiment.preset == "quick" else ""
    out.print(
        f"suite {planned.experiment.suite}: {len(taken)} of {counted(len(listed), 'task')}{more}",
        highlight=False,
    )
    tests = ", ".join(dict.fromkeys((*planned.experiment.corruptions, *planned.experiment.ood)))
    if tests:
        out.print(f"tested clean, with modalities missing, and with: {tests}", highlight=False)
