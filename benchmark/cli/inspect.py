"""``show``, ``check`` and ``doctor``: documentation, conformance tests and the state of this installation."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from inspect import cleandoc
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from ..core.errors import UsageError, nearest
from ..core.locate import root_from
from ..core.method_spec import MethodDescription, describe
from ..core.plugins import use_plugins
from ..core.registry import Entry, Kind, entries
from ..core.strings import split_list
from ..planning.variants import CONTROLS, Variant
from ..report.chosen_tables import known_tables, use_metrics
from ..report.console import console
from .documentation import print_docstring, print_parameters
from .listing import docstring
from .options import Plugins, Root, plugin_files

if TYPE_CHECKING:
    from ...leaderboards.catalog import Table as Declaration
    from ...leaderboards.metrics.base import Metric


class Checked(StrEnum):
    """What can be checked."""

    METHOD = "method"
    DATASET = "dataset"
    CORRUPTION = "corruption"
    ENCODER = "encoder"
    MEDIA = "media"
    LAUNCHER = "launcher"
    METRIC = "metric"
    SEGMENTER = "segmenter"
    TABLE = "table"


def show(
    name: Annotated[
        str,
        typer.Argument(help="a method, dataset, corruption, encoder, launcher, metric, segmenter or table"),
    ],
    plugin: Plugins = None,
) -> None:
    """Show what a name stands for: its documentation and its parameters. A name of two kinds is shown twice.

    Examples:

    mmbench show ebmc

    mmbench show calibration

    mmbench show mine --plugin mine.py
    """
    from ...leaderboards.metrics.registry import METRICS

    plugins = plugin_files(plugin)
    use_plugins(plugins)
    use_metrics(plugins)
    out, tables = console(), known_tables(plugins)
    names = [*METRICS, *tables]
    for kind, print_entry in _SHOWN.items():
        known = entries(kind, plugins)
        if name in known:
            print_entry(out, known[name])
        names += known
    if name in METRICS:
        _show_metric(out, METRICS[name], entries("metric", plugins).get(name))
    if name in tables:
        _show_table(out, tables[name], entries("table", plugins).get(name))
    if name not in names:
        raise UsageError(f"nothing is called {name!r}: {nearest(name, set(names))}")


def check(
    kind: Annotated[
        Checked,
        typer.Argument(
            help="method, dataset, corruption, encoder, launcher, segmenter, table, metric or media"
        ),
    ],
    name: Annotated[
        str,
        typer.Argument(help="its name; of an encoder with its model and options; of media also their folder"),
    ],
    plugin: Plugins = None,
    data_root: Root = None,
) -> None:
    """Test that a method, dataset, corruption, encoder, launcher, segmenter, table or metric keeps its contract, or that raw media
    are as they should be. The exit code is 1 where it does not hold.

    Examples:

    mmbench check method ebmc

    mmbench check method mine --plugin mine.py

    mmbench check encoder timm:test_vit,weights=random

    mmbench check media my-clips
    """
    from ..check.conformance import check_entry

    out = console()
    passed = True
    for result in check_entry(kind.value, name, plugin_files(plugin), data_root):
        passed = passed and result.ok
        mark = "[green]ok[/]    " if result.ok else "[red]failed[/]"
        out.print(mark, escape(result.what), highlight=False)
        for line in result.reason.splitlines():
            out.print(f"         {line}", markup=False, highlight=False, soft_wrap=True)
    if not passed:
        raise SystemExit(1)
    out.print(f"{kind.value} {name} keeps its contract", markup=False, highlight=False)
    if kind is Checked.DATASET:
        words = (
            f"checked on its stand-in; your own files: mmbench data info {name}, mmbench data verify {name}"
        )
        out.print(words, style="dim", markup=False, highlight=False)


def doctor(
    data_root: Root = None,
    plugin: Plugins = None,
    methods: Annotated[
        str,
        typer.Option(
            help="methods with their parameters: whether their libraries and models are there, and fit"
        ),
    ] = "",
) -> None:
    """Show which libraries work here, which GPUs and data are found, and what to type for what is missing or broken.

    Every library is imported and used once. The exit code is 1 where something that is required or installed does
    not work, or that a method needs is not there.

    Examples:

    mmbench doctor --data-root data --plugin mine.py

    mmbench doctor --methods "lmm(model=FOLDER,weights=nf4)"
    """
    from ..check.doctor import diagnoses

    out = console()
    marks = {
        "ok": "[green]ok[/]     ",
        "optional": "[yellow]--[/]     ",
        "missing": "[red]missing[/]",
        "broken": "[red]broken[/] ",
    }
    sound = True
    for finding in diagnoses(root_from(data_root), plugin_files(plugin), split_list(methods)):
        sound = sound and finding.state in ("ok", "optional")
        words = escape(f"{finding.what:<18} {finding.found}" + (f": {finding.mend}" if finding.mend else ""))
        out.print(f"{marks[finding.state]} {words}", highlight=False, soft_wrap=True)
    if not sound:
        raise SystemExit(1)


def _show_method(out: Console, entry: Entry) -> None:
    description = describe(entry)
    out.print(
        f"[bold]{entry.name}[/], a method, version {description.job_version(entry)}: {entry.source()}\n"
    )
    print_docstring(out, description.docstring)
    if description.fields:
        print_parameters(out, description)
    weights = "" if description.weighs_classes else "; no class weights"
    out.print(f"tasks: {', '.join(description.kinds)}{weights}", markup=False, highlight=False)
    for family, rules in description.rules_as_published.items():
        words = ", ".join(f"{key} {value}" for key, value in rules.items())
        out.print(f"as published, {family}: {words}", markup=False, highlight=False)
    for family, text in _departures(description):
        out.print(f"otherwise than published, {family}: {text}", markup=False, highlight=False)
    for name, own in description.controls.items():
        out.print(f"control, {name}: {Variant(entry.name, own).text}", markup=False, highlight=False)
    if description.controls:
        words = f"--methods '{entry.name}{CONTROLS}' runs the method and all of its controls"
        out.print(words, style="dim", markup=False, highlight=False)


def _departures(description: MethodDescription) -> list[tuple[str, str]]:
    """Families and what is otherwise there, ``none`` where nothing is; empty where nobody has compared."""
    if description.departures is None:
        return []
    return list(description.departures.items()) or [("all", "none")]


def _show_dataset(out: Console, entry: Entry) -> None:
    dataset = entry.load()
    out.print(f"[bold]{entry.name}[/], a dataset: {entry.source()}\n")
    print_docstring(out, cleandoc(dataset.__doc__ or dataset.title))


def _show_encoder(out: Console, entry: Entry) -> None:
    from ...datasets.encoders.table import list_encoders

    _show_documentation("encoder")(out, entry)
    options = next(one.options for one in list_encoders() if one.name == entry.name)
    out.print(f"options: {options or 'none'}", markup=False, highlight=False)


def _show_metric(out: Console, metric: Metric, entry: Entry | None) -> None:
    """Prints what a metric is; ``entry`` says where one from outside comes from."""
    out.print(f"[bold]{metric.name}[/], a metric: {metric.convention}")
    out.print(f"{metric.direction} is better; range {metric.range}; source: {metric.source}", markup=False)
    if entry:
        out.print(f"defined in {entry.source()}", markup=False, highlight=False, soft_wrap=True)


def _show_table(out: Console, table: Declaration, entry: Entry | None) -> None:
    """Prints what a table is; ``entry`` says where one from outside comes from."""
    if entry is None:
        module, _, function = str(table.maker).partition(":")
        entry = Entry(table.name, f"mmbench.leaderboards.tables.{module}", function)
    _show_documentation("table")(out, entry)
    columns = {"metric": "metrics on clean data", "condition": "conditions"}[table.across]
    reads = f"the table {table.source}" if table.source else ", ".join(sorted(table.reads))
    out.print(f"\ntitle: {table.title}", markup=False, highlight=False)
    out.print(f"columns: {'its own' if table.plain else columns}", markup=False, highlight=False)
    out.print(f"reads: {reads or 'records of jobs alone'}", markup=False, highlight=False)


def _show_documentation(kind: Kind) -> Callable[[Console, Entry], None]:
    """Prints what the source says of a thing of that kind."""

    def show_documentation(out: Console, entry: Entry) -> None:
        article = "an" if kind[0] in "aeiou" else "a"
        out.print(f"[bold]{entry.name}[/], {article} {kind}: {entry.source()}\n")
        print_docstring(out, docstring(entry).partition("\n\nArgs:")[0])

    return show_documentation


#: What ``show`` prints of each kind whose names stand for classes.
_SHOWN: dict[Kind, Callable[[Console, Entry], None]] = {
    "method": _show_method,
    "dataset": _show_dataset,
    "corruption": _show_documentation("corruption"),
    "encoder": _show_encoder,
    "launcher": _show_documentation("launcher"),
    "segmenter": _show_documentation("segmenter"),
}
