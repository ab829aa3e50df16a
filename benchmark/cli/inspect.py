"""``list``, ``show``, ``check`` and ``doctor``: what there is, and whether it is in order."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ..core.errors import UsageError, nearest
from ..core.locate import own_datasets, root_from
from ..core.method_spec import Description, describe
from ..core.registry import Entry, entries
from ..planning.evaluations import group, groups
from ..planning.suites import SUITES
from ..report.chosen_tables import add_metrics, known_tables
from ..report.console import console


class Listed(StrEnum):
    """What can be listed."""

    METHODS = "methods"
    DATASETS = "datasets"
    CORRUPTIONS = "corruptions"
    METRICS = "metrics"
    TABLES = "tables"
    TASKS = "tasks"
    ENCODERS = "encoders"


class Checked(StrEnum):
    """What can be checked."""

    METHOD = "method"
    DATASET = "dataset"
    CORRUPTION = "corruption"
    MEDIA = "media"
    METRIC = "metric"
    TABLE = "table"


Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="A file that brings methods or datasets.")
]
Root = Annotated[Path | None, typer.Option("--data-root", help="Folder of the datasets.")]


def list_names(
    what: Annotated[
        Listed, typer.Argument(help="methods, datasets, encoders, corruptions, metrics, tables or tasks")
    ],
    plugin: Plugins = None,
    data_root: Root = None,
    suite: Annotated[str, typer.Option("--suite", help="Whose tasks are listed.")] = "mmdg",
) -> None:
    """List what can be named.

    Examples:

    mmbench list methods

    mmbench list tasks --suite mmdg
    """
    if what is Listed.TASKS:
        _list_tasks(suite)
        return
    plugins = tuple(plugin or ())
    table = Table(box=None, padding=(0, 2), show_header=False)
    if what is Listed.METRICS:
        from ...leaderboards.metrics.registry import METRICS

        add_metrics(plugins)
        for metric in METRICS.values():
            arrow = "higher is better" if metric.direction == "higher" else "lower is better"
            table.add_row(metric.name, arrow, metric.convention, metric.version)
    elif what is Listed.TABLES:
        for declared in known_tables(plugins).values():
            table.add_row(declared.name, declared.title, declared.origin)
    elif what is Listed.ENCODERS:
        from ...datasets.encoders.table import known

        for encoder in known():
            table.add_row(encoder.name, encoder.summary, encoder.options)
    elif what is Listed.METHODS:
        for entry in entries("method", plugins).values():
            description = describe(entry)
            table.add_row(entry.name, description.summary, _origin(entry))
    elif what is Listed.DATASETS:
        for entry in entries("dataset", plugins).values():
            table.add_row(entry.name, str(entry.load().title), _origin(entry))
        for name in own_datasets(root_from(data_root)):
            if name not in entries("dataset", plugins):
                table.add_row(name, "your own, in the open layout", str(root_from(data_root) / name))
    else:
        for entry in entries("corruption", plugins).values():
            table.add_row(entry.name, group(entry), _first_line(entry), _origin(entry))
    out = console()
    out.print(table)
    if what is Listed.CORRUPTIONS:
        out.print("\nGroups, which --corruptions takes as well:")
        for name, members in groups(plugins).items():
            kinds = ", ".join(entry.name for entry in members)
            out.print(f"  {name}: {kinds}", markup=False, highlight=False, soft_wrap=True)


def _list_tasks(suite: str) -> None:
    if suite not in SUITES:
        raise UsageError(f"unknown suite {suite!r}: {nearest(suite, SUITES)}")
    tasks = SUITES[suite]()
    table = Table("task", "sources", "target", "modalities", box=None, padding=(0, 2), header_style="bold")
    for item in tasks:
        table.add_row(item.name, ", ".join(item.task.sources), item.task.target, item.modality_set)
    out = console()
    out.print(table)
    counts = Counter(item.group for item in tasks)
    words = " + ".join(f"{count} {group}" for group, count in counts.items())
    out.print(f"{words} = {len(tasks)} tasks", markup=False, highlight=False)


def show(
    name: Annotated[str, typer.Argument(help="a method, dataset, corruption or metric")],
    plugin: Plugins = None,
) -> None:
    """Show what a name stands for: its documentation and its parameters.

    Example: mmbench show ebmc
    """
    from ...leaderboards.metrics.registry import METRICS

    plugins = tuple(plugin or ())
    add_metrics(plugins)
    out = console()
    methods, datasets = entries("method", plugins), entries("dataset", plugins)
    corruptions = entries("corruption", plugins)
    if name in methods:
        description = describe(methods[name])
        out.print(f"[bold]{name}[/], a method, version {description.version}: {methods[name].source()}\n")
        out.print(description.docstring, markup=False, highlight=False)
        if description.fields:
            out.print(_parameters(description))
        for family, rules in description.rules_as_published.items():
            words = ", ".join(f"{key} {value}" for key, value in rules.items())
            out.print(f"as published, {family}: {words}", markup=False, highlight=False)
    elif name in datasets:
        dataset = datasets[name].load()
        out.print(f"[bold]{name}[/], a dataset: {datasets[name].source()}\n")
        out.print(str(dataset.__doc__ or dataset.title), markup=False, highlight=False)
    elif name in corruptions:
        out.print(f"[bold]{name}[/], a corruption: {corruptions[name].source()}\n")
        out.print(_docstring(corruptions[name]), markup=False, highlight=False)
    elif name in METRICS:
        metric = METRICS[name]
        out.print(f"[bold]{name}[/], a metric: {metric.convention}")
        out.print(
            f"{metric.direction} is better; range {metric.range}; source: {metric.source}", markup=False
        )
    else:
        known = [*methods, *datasets, *corruptions, *METRICS]
        raise UsageError(f"nothing is called {name!r}: {nearest(name, known)}")


def check(
    kind: Annotated[Checked, typer.Argument(help="method, dataset, corruption, media, metric or table")],
    name: Annotated[str, typer.Argument(help="its name; for media, or their folder")],
    plugin: Plugins = None,
    data_root: Root = None,
) -> None:
    """Test that a method, dataset, corruption, metric or table keeps its contract, or that raw media are as they should be. The
    exit code is 1 where it does not hold.

    Examples:

    mmbench check method ebmc

    mmbench check method mine --plugin mine.py

    mmbench check media my-clips
    """
    from ..check.conformance import check_entry

    out = console()
    passed = True
    for result in check_entry(kind.value, name, tuple(plugin or ()), data_root):
        passed = passed and result.ok
        mark = "[green]ok[/]    " if result.ok else "[red]failed[/]"
        out.print(mark, result.what, highlight=False)
        for line in result.reason.splitlines():
            out.print(f"         {line}", markup=False, highlight=False, soft_wrap=True)
    if not passed:
        raise SystemExit(1)
    out.print(f"{kind.value} {name} keeps its contract")


def doctor(data_root: Root = None) -> None:
    """Show what is installed, which GPUs and data are found, what is missing and the command that mends
    it."""
    from ..check.doctor import findings

    out = console()
    marks = {"ok": "[green]ok[/]     ", "optional": "[yellow]--[/]     ", "missing": "[red]missing[/]"}
    for finding in findings(root_from(data_root)):
        words = escape(f"{finding.what:<14}{finding.found}" + (f": {finding.mend}" if finding.mend else ""))
        out.print(f"{marks[finding.state]} {words}", highlight=False, soft_wrap=True)


def _origin(entry: Entry) -> str:
    return "" if entry.origin == "mmbench" else entry.origin


def _docstring(entry: Entry) -> str:
    import ast

    tree = ast.parse(entry.source().read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == entry.attribute:
            return ast.get_docstring(node) or ""
    return ast.get_docstring(tree) or ""


def _first_line(entry: Entry) -> str:
    return _docstring(entry).partition("\n")[0]


def _parameters(description: Description) -> Table:
    columns = ("parameter", "default", "searched", "as published", "source")
    table = Table(*columns, box=None, padding=(0, 2), header_style="bold")
    for item in description.fields:
        search = item.search or {}
        values = search.get("choices") or (f"{search['low']} to {search['high']}" if search else "")
        published = description.published(item.name)
        table.add_row(item.name, str(item.default), str(values), published, item.source)
    return table
