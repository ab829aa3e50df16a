"""Carrying out a plan at the terminal: progress, what an interruption means, what failed."""

from __future__ import annotations

import signal

from .launch import Plan, run, slurm_for
from .progress import showing
from .terminal import console


def carry_out(planned: Plan) -> bool:
    """Runs a plan and shows how it gets on; whether every job is done. Ctrl-C ends the program."""
    out = console()
    store = planned.experiment.store
    if planned.experiment.launcher == "slurm":
        slurm_for(planned.experiment)  # what is wrong with it is said before anything else
    data = " [yellow](synthetic data)[/]" if any(job.synthetic for job in planned.jobs) else ""
    counts = f"{len(planned.jobs)} jobs, {len(planned.done)} done before, {len(planned.todo)} to do"
    out.print(f"{counts}; results in {store}{data}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # ended by another is ended as by Ctrl-C
    try:
        with showing(planned.todo, planned.store, out) as listener:
            summary = run(planned, listener)
    except KeyboardInterrupt:
        out.print("[yellow]interrupted[/]: the same command goes on with what is missing")
        if planned.experiment.launcher == "slurm":
            out.print(
                f"the jobs go on without it. Watch: mmbench status --store {store} --watch; "
                f"end them: mmbench cancel --store {store}"
            )
        raise SystemExit(130) from None
    if not summary.ok:
        out.print(f"[red]{len(summary.failed)} of {summary.planned} jobs failed:[/]")
        for outcome in summary.failed:
            out.print(f"  {outcome.job_id}: {outcome.reason}", markup=False, soft_wrap=True)
        out.print(
            f"details: {planned.store.jobs_folder}/<job>/failed.json; the same command tries them again"
        )
        return False
    out.print(f"all {summary.planned} jobs done; see them with: mmbench leaderboard --store {store}")
    return True


def preview(planned: Plan) -> None:
    """Prints what would be given to SLURM: which jobs share an array task, and every script."""
    out = console()
    executor = slurm_for(planned.experiment)
    arrays = executor.arrays(planned.todo, planned.store, planned.experiment.threads)
    tasks = sum(map(len, arrays))
    out.print(
        f"{len(planned.todo)} jobs in {tasks} array tasks of {len(arrays)} arrays; nothing is submitted"
    )
    for place, array in enumerate(arrays):
        out.print(f"\narray {place + 1}: {len(array)} tasks", style="bold", highlight=False)
        for number, bundle in enumerate(array):
            about = f"task {number}: {len(bundle.names)} jobs, about {bundle.seconds:.0f} s of work"
            out.print(f"{about}: {' '.join(bundle.names)}", markup=False, highlight=False, soft_wrap=True)
        script = executor.script(len(array), planned.store)
        out.print(script, markup=False, highlight=False, soft_wrap=True)
