"""``leaderboard``, ``plot`` and ``export``: tables, pictures and the page of a store."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import UsageError
from ..core.strings import printable
from ..store.names import inside
from .completion import COMPLETIONS
from .options import AsJson
from .table_options import Asked, What, asks_for_tables

StoreFolder = Annotated[Path, typer.Option("--store", help="Folder of the results.")]


@asks_for_tables("metric", "top", "sort", "columns")
def leaderboard(
    asked: Asked,
    store: StoreFolder = Path("runs"),
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the files.")] = None,
    what: What = None,
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            help="Any of terminal,csv,md,latex,html.",
            autocompletion=COMPLETIONS["formats"],
        ),
    ] = "terminal,csv,md",
    reference: Annotated[
        str, typer.Option(help="The row that the table relative divides by; by default erm.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Print a summary of all tables, or those that --what names, and write them as files. The exit code is 1 where
    accuracy or missing has a hole, or results that another table needs cannot be used.

    Examples:

    mmbench leaderboard --store runs --out tables

    mmbench leaderboard --what all

    mmbench leaderboard --what robustness,misd --format terminal,latex

    mmbench leaderboard --what accuracy --metric mae --top 5 --columns mae,corr

    mmbench leaderboard --ensemble seeds --what accuracy,ensembles

    mmbench leaderboard --what mechanism
    """
    from ..report import output_cache
    from ..report.console import console

    if as_json:
        from ..report.tables_json import tables_as_json

        text, complete = tables_as_json(store, asked.chosen(), what, reference, asked.plugins, asked.view)
        typer.echo(text)
        raise SystemExit(0 if complete else 1)
    folder, printer = out or inside(store / "leaderboards"), console(record=True)
    options = (asked, folder.absolute(), what, formats, reference)
    signature = output_cache.signature(store, (*options, printer.width, printer.is_terminal), asked.plugins)
    printed = output_cache.stored_output(store, folder, signature)
    if printed is not None:
        sys.stdout.write(printed.text)
    else:
        from ..core.strings import as_list
        from ..report.write import write_leaderboards

        complete, files = write_leaderboards(
            store,
            folder,
            asked.chosen(),
            what,
            as_list(formats),
            printer,
            reference,
            asked.plugins,
            asked.view,
        )
        printed = output_cache.PrintedOutput(printer.export_text(styles=printer.is_terminal), complete)
        output_cache.store_output(store, folder, signature, printed, files)
    if not printed.complete:
        raise SystemExit(1)


@asks_for_tables("metric", "top")
def plot(
    asked: Asked,
    what: Annotated[
        str,
        typer.Argument(
            help="Names of pictures, separated by commas: missing, degradation, missing-rates, reliability, mechanism, "
            "agreement, course, critical-difference, risk-coverage, learning-curves. By default all that there is data for "
            "but the last.",
            autocompletion=COMPLETIONS["pictures"],
        ),
    ] = "",
    store: StoreFolder = Path("runs"),
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the pictures.")] = None,
    formats: Annotated[
        str,
        typer.Option("--format", help="Any of png,pdf,svg.", autocompletion=COMPLETIONS["picture-formats"]),
    ] = "png,pdf",
    size: Annotated[
        str,
        typer.Option(help="WIDTHxHEIGHT of each picture in inches, such as 3.3x2.5, or in mm: 84x64mm."),
    ] = "",
    style: Annotated[
        str,
        typer.Option(
            help="paper: 7 inches wide, for the text of two columns, with thin lines; slide: 13.33x7.5 inches, with large "
            "letters and thick lines. --size goes before the size of either.",
            autocompletion=COMPLETIONS["picture-styles"],
        ),
    ] = "",
) -> None:
    """Draw degradation and missing-rate curves, reliability surfaces, diagnostics by severity, risk-coverage curves and
    critical differences, by default as PNG and PDF. A picture without data is left out, with a line that says why. The exit code is 1
    where a job cannot be read.

    Examples:

    mmbench plot --store runs --out pictures

    mmbench plot --top 5 --metric mae

    mmbench plot --format svg

    mmbench plot learning-curves --store runs

    mmbench plot degradation --style paper --size 3.3x2.5 --format pdf

    mmbench plot missing,risk-coverage --style slide --format png
    """
    from ..core.strings import as_list
    from ..report.chosen_tables import use_metrics
    from ..report.console import console, print_faults
    from ..report.pictures import chosen_pictures, picture_form, write_pictures
    from ..report.results import readable

    which = chosen_pictures(what)
    form = picture_form(as_list(formats), size, style)
    use_metrics(asked.plugins)
    results, faults = readable(store, asked.chosen())
    folder = out or inside(store / "leaderboards")
    files, reasons = write_pictures(results, folder, form=form, view=asked.view, which=which)
    if not files:
        raise UsageError(f"nothing to draw: {'; '.join([*reasons, *faults])}")
    for file in files:
        typer.echo(f"wrote {file}")
    for reason in reasons:
        typer.echo(printable(f"not drawn: {reason}"))
    print_faults(console(), faults)
    if faults:
        raise SystemExit(1)


@asks_for_tables("metric", "top", "columns")
def export_page(
    asked: Asked,
    store: StoreFolder = Path("runs"),
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The file. By default leaderboards/leaderboard.html in the store."),
    ] = None,
    what: What = None,
    heading: Annotated[str, typer.Option("--title", help="The page's title.")] = "",
    date: Annotated[str, typer.Option(help="A date that the page shows; by default none.")] = "",
    layout: Annotated[
        str,
        typer.Option(
            help="one or two: write LaTeX tables for a paper of so many columns in place of the page, into the folder of --out."
        ),
    ] = "",
) -> None:
    """Write one HTML page with every table, to be sorted and filtered, and every picture. It loads nothing from
    elsewhere. The exit code is 1 where accuracy or missing has a hole.

    Examples:

    mmbench export --store runs --out leaderboard.html

    mmbench export --store runs --layout two --what accuracy,missing --out tables
    """
    from ..report.console import console
    from ..report.export_page import export

    if layout:
        _export_paper(asked, store, out, what, layout)
        return
    if not export(
        store, out, asked.chosen(), what, console(), asked.plugins, asked.view, heading=heading, date=date
    ):
        raise SystemExit(1)


def _export_paper(asked: Asked, store: Path, out: Path | None, what: str | None, layout: str) -> None:
    """Writes the tables of a paper and prints their names; arguments as of ``write_paper``."""
    from ..report.paper import write_paper

    if layout not in ("one", "two"):
        raise UsageError(f"--layout {layout!r}: a paper has one or two columns: write one or two")
    files, reasons = write_paper(store, out, asked.chosen(), what, layout, asked.plugins, asked.view)
    for file in files:
        typer.echo(f"wrote {file}")
    for reason in reasons:
        typer.echo(printable(f"not written: {reason}"))
