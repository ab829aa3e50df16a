"""``findings``: the five questions of MMDG-Bench and whether fusion hurts, asked of a store."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import UsageError, nearest
from .table_options import Asked, asks_for_tables

FORMATS = ("terminal", "md", "json")


@asks_for_tables("metric")
def findings(
    asked: Asked,
    store: Annotated[Path, typer.Option("--store", help="Folder of the results.")] = Path("runs"),
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the files.")] = None,
    formats: Annotated[str, typer.Option("--format", help="Any of terminal,md,json.")] = "terminal,md",
    margin: Annotated[float, typer.Option(help="A gain below this share of the value is marginal.")] = 0.02,
    large: Annotated[float, typer.Option(help="A gap or loss above this share of the value is large.")] = 0.1,
) -> None:
    """Ask the five questions of MMDG-Bench of your own results, and whether fusion hurts. The exit code is 1 where a job cannot be read.

    Each answer is yes, no, undecided or not enough data, with the statistic that it rests on; yes confirms what
    MMDG-Bench found. Protocols, and real and synthetic data, are asked apart.

    Examples:

    mmbench findings --store runs

    mmbench findings --methods erm,ebmc --format terminal,json --out tables

    mmbench findings --ensemble seeds

    mmbench findings --metric auroc_ovr
    """
    from rich.padding import Padding
    from rich.text import Text

    from ...leaderboards.findings import findings as questions
    from ...leaderboards.render.files import file_name, write_text
    from ..core.strings import as_list
    from ..report.chosen_tables import chosen_tables, frames_there, use_metrics
    from ..report.console import console, print_faults
    from ..report.results import readable
    from ..store.names import inside

    chosen = as_list(formats)
    use_metrics(asked.plugins)
    for name in chosen:
        if name not in FORMATS:
            raise UsageError(f"unknown format {name!r}: {nearest(name, FORMATS)}")
    results, faults = readable(store, asked.chosen())
    names = [name for name in chosen_tables(None, results) if name in questions.READS]
    tables = frames_there(names, results, "accuracy", asked.view)
    try:
        answers = questions.findings(tables, margin, large)
    except ValueError as error:
        raise UsageError(str(error)) from None
    warnings = questions.warnings_of(tables)
    screen = console()
    if "terminal" in chosen:
        for warning in warnings:
            screen.print(warning, style="yellow", markup=False, highlight=False)
        for one in answers:
            if one.number == "1":
                screen.print(f"{one.protocol}; {one.data}", style="italic", markup=False, highlight=False)
            screen.print(f"{one.number}  {one.question} {one.answer}", style="bold", highlight=False)
            screen.print(Padding(Text(questions.basis_words(one)), (0, 0, 1, 4)))
    as_markdown = partial(questions.answers_as_markdown, warnings=warnings)
    for suffix, write in ((".md", as_markdown), (".json", questions.answers_as_json)):
        if suffix[1:] in chosen:
            folder = out or inside(store / "leaderboards")
            path = folder / file_name(tables["accuracy"], "findings", suffix)
            write_text(path, write(answers))
            screen.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
    print_faults(screen, faults)
    if faults:
        raise SystemExit(1)
