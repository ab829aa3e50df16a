"""The command ``mmbench``."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from ...datasets.dataset import DataError
from ..core.errors import UsageError, error_line
from ..core.logs import set_up as set_up_logs
from ..core.processes import keep_children_safe
from ..core.strings import counted, printable
from ..planning.experiment import Experiment
from ..store.names import StoreError
from .app import App
from .data import app as data_app
from .findings import findings
from .flags import with_experiment
from .inspect import check, doctor, show
from .jobs import cancel, forget, logs, retry, status
from .listing import list_names
from .masks import app as masks_app
from .new import new
from .options import AsJson, Plugins, Root, plugin_files
from .predict import predict
from .regimes import app as regimes_app
from .tables import export_page, leaderboard, plot

if TYPE_CHECKING:
    from ..launch.plan import Plan

app = App(
    name="mmbench",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="Which multimodal learning method really is better, and where does it break?",
    epilog="Example, with nothing downloaded: [bold]mmbench data synth mosi[/] and then "
    "[bold]mmbench run --methods erm,ebmc --datasets mosi --preset quick[/]",
)


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"mmbench {version('mmbench')}")
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            help="Report on standard error what is read, what caches hold and what is planned; -vv: every detail.",
        ),
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Report errors only, no warnings.")] = False,
) -> None:
    """Which multimodal learning method really is better, and where does it break?"""
    if quiet and verbose:
        raise UsageError("--quiet and --verbose: give one of them")
    set_up_logs("ERROR" if quiet else ("WARNING", "INFO", "DEBUG")[min(verbose, 2)])


Store = Annotated[Path, typer.Option("--store", help="Folder of the results.")]


@app.command("plan")
@with_experiment
def plan_command(
    experiment: Experiment,
    output: Annotated[
        str, typer.Option("--format", help="text, or json: one object with every job.")
    ] = "text",
    as_json: AsJson = False,
) -> None:
    """Show the job matrix: counts along each axis, what is done and what is to do. Nothing is run; data that were not read before
    are read, so that what a run would refuse is refused here.

    Examples:

    mmbench plan --methods erm,ebmc --datasets mosi --modalities T+A+V,T --seeds 0-4

    mmbench plan --methods erm,nel --suite mmdg --preset paper
    """
    from ..launch.launcher import launcher_for
    from ..launch.plan import plan
    from ..launch.run import check_data

    planned = plan(experiment)
    check_data(planned, launcher_for(experiment, planned.remaining).device)  # what run refuses, too
    if as_json or output == "json":
        _print_json(planned)
    elif output == "text":
        _print_plan(planned)
    else:
        raise UsageError(f"--format {output!r}: write text or json")


@app.command("run")
@with_experiment
def run_command(
    experiment: Experiment,
    save_config: Annotated[
        Path | None, typer.Option("--save-config", help="Write the experiment to this YAML file.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what the launcher would do, and start nothing.")
    ] = False,
) -> None:
    """Train and evaluate every job that is not done yet. Interrupted, call it again.

    Examples:

    mmbench run --methods erm,ebmc --datasets mosi

    mmbench run --methods "erm,ebmc,ebmc(emc=false)" --datasets mosi --modalities T,A,T+A --seeds 0-4

    mmbench run --methods erm,ebmc --datasets mosi --train-missing text=0.3,audio=0.7 --corruptions "missing-rates(text=0.7)"

    mmbench run --methods erm,logistic --datasets mosi --folds 5 --fold-group video --seeds 0

    mmbench run --config experiment.yaml --workers 2

    mmbench run --methods ebmc --datasets mosi --corruptions gaussian-noise --diagnostics

    mmbench run --methods erm,ebmc --datasets mosi --launcher slurm --slurm gpu,partition=main,time=8h
    """
    from ..launch.plan import plan
    from ..report.console import console
    from .run import carry_out, preview

    with console().status("planning ..."):  # on a terminal; data are read to be known by their content
        planned = plan(experiment)
    if save_config:
        experiment.save(save_config)
    if dry_run:
        preview(planned)
    elif not carry_out(planned):
        raise SystemExit(1)


@app.command("merge")
def merge_command(
    folder: Annotated[
        Path,
        typer.Argument(
            help="another store, leaderboard CSVs with or without jobs, or exported masks with predictions"
        ),
    ],
    store: Store = Path("runs"),
    name: Annotated[
        str | None,
        typer.Option(help="The name of the source of unverified rows; by default that of the folder."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be taken; write nothing.")
    ] = False,
    data_root: Root = None,
    plugin: Plugins = None,
) -> None:
    """Take results from elsewhere: jobs whose files are whole, rows of CSVs, rescored from predictions, and predictions
    of other methods under the masks of mmbench masks export, which are computed anew from the data.

    The exit code is 1 where something was refused, conflicts with what is here, or differs from its predictions.

    Example: mmbench merge colleague/runs --store runs
    """
    from ..exchange.merge import merge
    from ..report.console import console

    report = merge(folder.expanduser(), store, name, dry_run, data_root, plugin_files(plugin))
    report.print(console())
    if not report.ok:
        raise SystemExit(1)


app.add_typer(data_app, name="data")
app.add_typer(masks_app, name="masks")
app.add_typer(regimes_app, name="regimes")
app.command("leaderboard")(leaderboard)
app.command("plot")(plot)
app.command("export")(export_page)
app.command("findings")(findings)
app.command("predict")(predict)
app.command("status")(status)
app.command("logs")(logs)
app.command("retry")(retry)
app.command("cancel")(cancel)
app.command("forget")(forget)
app.command("list")(list_names)
app.command("show")(show)
app.command("check")(check)
app.command("new")(new)
app.command("doctor")(doctor)


def _print_plan(planned: Plan) -> None:
    from rich.text import Text

    from ..core.job import COMPANION
    from ..launch import estimate
    from ..launch.plan import counts
    from ..report.console import borderless, console
    from ..search.trials import size_label
    from .run import print_notes, print_suite

    out = console()
    table = borderless(columns=2)
    for axis, values in counts(planned).items():
        words = ", ".join(f"{value} ({count})" for value, count in values.items())
        table.add_row(f"{len(values)} x {axis}", Text(words))  # a name is no markup
    out.print(table)
    if planned.searches:
        trial = planned.searches[0].study.trial
        out.print(
            f"{counted(len(planned.searches), 'search', 'searches')} of {size_label(trial)} networks (default, draws by {trial.sampler}, "
            f"repeats of the best by source validation), pruner {trial.pruner}",
            highlight=False,
        )
    pruned = f"{planned.pruned_trials} pruned, " if planned.pruned_trials else ""
    words = f"{counted(planned.networks, 'job')}: {len(planned.done)} done, {pruned}{planned.remaining} to do"
    others = sum(job.role == COMPANION for job in planned.jobs)
    words += f"; {others} of them are companions, which choose the epochs of others" if others else ""
    print_notes(planned, out)
    out.print(words + (f" ({planned.failures} failed before)" if planned.failures else ""))
    if planned.remaining:
        out.print(estimate.estimate_words(planned.estimate()), highlight=False)
    print_suite(planned, out)
    for item in sorted({item for job in planned.jobs for item in job.data}, key=lambda item: item.name):
        kind = "synthetic stand-in" if item.synthetic else "data"
        out.print(f"  {item.name}: {kind}, {item.format}, sha256 {item.fingerprint[:16]}", highlight=False)


def _print_json(planned: Plan) -> None:
    import json

    jobs: list[dict[str, Any]] = []
    for job in planned.jobs:
        jobs.append({"id": job.id, "state": planned.store.record(job).state, **job.to_dict()})
    typer.echo(json.dumps({"jobs": jobs, "networks": planned.networks}, indent=1))


def main() -> None:
    """Runs the command. A fault that a user can mend is one line on standard error, and exit code 2."""
    keep_children_safe()
    for stream in (sys.stdout, sys.stderr):  # a terminal that knows no arrows gets question marks
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except (UsageError, DataError, StoreError) as error:
        _give_up(str(error))
    except BrokenPipeError:  # the reader of a pipe went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _give_up(error_line(error))


def _give_up(message: str) -> NoReturn:
    typer.secho("mmbench: ", fg="red", nl=False, err=True)
    typer.echo(printable(message), err=True)
    sys.exit(2)
