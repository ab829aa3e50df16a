"""``mmbench list``: what can be named."""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from ..core.errors import UsageError, nearest
from ..core.locate import locate, own_datasets, root_from
from ..core.method_spec import describe
from ..core.plugins import use_plugins
from ..core.registry import OWN, Entry, Kind, entries
from ..core.strings import counted
from ..planning.corruption_groups import corruption_groups, group_of
from ..planning.suites import SUITES, SuiteTask
from ..report.console import borderless, console
from .options import AsJson, Plugins, Root, plugin_files

Files = tuple[Path, ...]
Rows = Iterator[tuple[str, ...]]


class Listed(StrEnum):
    """What can be listed."""

    METHODS = "methods"
    DATASETS = "datasets"
    DOMAINS = "domains"
    CORRUPTIONS = "corruptions"
    ENCODERS = "encoders"
    METRICS = "metrics"
    TABLES = "tables"
    LAUNCHERS = "launchers"
    SEGMENTERS = "segmenters"
    TASKS = "tasks"


def list_names(
    what: Annotated[
        Listed,
        typer.Argument(
            help="methods, datasets, domains, corruptions, encoders, metrics, tables, launchers, segmenters or tasks"
        ),
    ],
    plugin: Plugins = None,
    data_root: Root = None,
    suite: Annotated[str, typer.Option("--suite", help="Whose tasks are listed.")] = "mmdg",
    output: Annotated[
        str, typer.Option("--format", help="text, or json: a list with an object for each name.")
    ] = "text",
    as_json: AsJson = False,
) -> None:
    """List what can be named. What a plug-in file or an installed package brings is listed with where it is from.

    Examples:

    mmbench list methods

    mmbench list encoders --plugin mine.py

    mmbench list domains --data-root data

    mmbench list tasks --suite mmdg

    mmbench list methods --json
    """
    if output not in ("text", "json"):
        raise UsageError(f"--format {output!r}: write text or json")
    if as_json or output == "json":
        _print_json(what, plugin_files(plugin), root_from(data_root), suite)
        return
    if what is Listed.TASKS:
        _print_tasks(suite)
        return
    plugins, root = plugin_files(plugin), root_from(data_root)
    out = console()
    if what is Listed.METHODS:
        _print_methods(out, list(_methods(plugins, root)))
        return
    rows = list(_ROWS[what](plugins, root))
    table = borderless(columns=max(map(len, rows), default=0))
    for row in rows:
        table.add_row(*row)
    out.print(table)
    if what is Listed.CORRUPTIONS:
        out.print("\nGroups, which --corruptions takes as well:")
        for name, members in corruption_groups(plugins).items():
            kinds = ", ".join(entry.name for entry in members)
            out.print(f"  {name}: {kinds}", markup=False, highlight=False, soft_wrap=True)


def _print_methods(out: Console, rows: Sequence[tuple[str, ...]]) -> None:
    """Prints the methods family by family, each with its summary in one line, which is cut where the terminal ends."""
    families = dict.fromkeys(family for _, family, *_ in rows)
    longest = max(len(name) for name, *_ in rows)
    for family in families:
        own = [(name, summary, origin) for name, of, summary, origin in rows if of == family]
        out.print(f"{family or 'from outside'} ({len(own)})", style="bold", highlight=False)
        for name, summary, origin in own:
            words = f"{summary} ({origin})" if origin else summary
            out.print(Text(f"  {name:<{longest}}  {words}"), no_wrap=True, overflow="ellipsis")
    more = f"{counted(len(rows), 'method')}; mmbench show NAME prints the parameters and controls of one"
    out.print(more, style="dim", highlight=False)


def _print_json(what: Listed, plugins: Files, root: Path, suite: str) -> None:
    """Prints names with what the lines of the text say of them; of a task its sources, target and modalities."""
    if what is Listed.TASKS:
        found: list[dict[str, object]] = [
            {
                "name": item.name,
                "sources": list(item.task.sources),
                "target": item.task.target,
                "modalities": item.modality_set,
                "group": item.group,
            }
            for item in _tasks(suite)
        ]
    else:
        rows = _ROWS[what](plugins, root)
        found = [{"name": name, "about": [text for text in about if text]} for name, *about in rows]
    typer.echo(json.dumps(found, indent=1))


def docstring(entry: Entry) -> str:
    """The documentation of a class, read from its source; that of its file where the class has none."""
    tree = ast.parse(entry.source().read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == entry.attribute:
            return ast.get_docstring(node) or ""
    return ast.get_docstring(tree) or ""


def _methods(plugins: Files, root: Path) -> Rows:
    for entry in entries("method", plugins).values():
        yield entry.name, _family(entry), describe(entry).summary, _origin(entry)


def _family(entry: Entry) -> str:
    """The family of a method: the folder of ``methods/`` that it is in; nothing for a plug-in."""
    if entry.origin != "mmbench":
        return ""
    return entry.module.removeprefix("mmbench.methods.").rpartition(".")[0] or "baseline"


def _datasets(plugins: Files, root: Path) -> Rows:
    known = entries("dataset", plugins)
    for entry in known.values():
        yield entry.name, str(entry.load().title), _origin(entry)
    for name in own_datasets(root):
        if name not in known:
            yield name, "your own, in the open layout", str(root / name)


def _domains(plugins: Files, root: Path) -> Rows:
    """The domains of the datasets that are there."""
    from ...datasets.dataset import DataError, DataNotFound
    from ..planning.data_check import shape_of

    for name in dict.fromkeys([*entries("dataset", plugins), *own_datasets(root)]):
        try:
            domains = shape_of(locate(name, root, plugins=plugins)).domains
        except DataNotFound:
            yield name, "no data", f"mmbench data synth {name} --data-root {root}"
            continue
        except DataError as error:
            yield name, "cannot be read", str(error)
            continue
        for domain, counts in domains.items():
            words = ", ".join(f"{count} {split}" for split, count in counts.items())
            yield f"{name}/{domain}", "samples", words
        if not domains:
            yield name, "one domain: the whole dataset", ""


def _corruptions(plugins: Files, root: Path) -> Rows:
    for entry in entries("corruption", plugins).values():
        yield entry.name, group_of(entry), docstring(entry).partition("\n")[0], _origin(entry)


def _encoders(plugins: Files, root: Path) -> Rows:
    from ...datasets.encoders.table import encoder_origin, list_encoders

    use_plugins(plugins)
    for encoder in list_encoders():
        yield encoder.name, encoder.summary, encoder.options, encoder_origin(encoder.name)


def _metrics(plugins: Files, root: Path) -> Rows:
    from ...leaderboards.metrics.registry import METRICS
    from ..report.chosen_tables import use_metrics

    use_metrics(plugins)
    for metric in METRICS.values():
        yield metric.name, f"{metric.direction} is better", metric.convention, metric.version


def _tables(plugins: Files, root: Path) -> Rows:
    from ..report.chosen_tables import known_tables

    for table in known_tables(plugins).values():
        yield table.name, table.title, table.origin


def documentation_rows(kind: Kind) -> Callable[[Files, Path], Rows]:
    """Rows of a kind that is described by its documentation alone: name, first line, origin."""

    def rows(plugins: Files, root: Path) -> Rows:
        for entry in entries(kind, plugins).values():
            yield entry.name, docstring(entry).partition("\n")[0], _origin(entry)

    return rows


_ROWS: dict[Listed, Callable[[Files, Path], Rows]] = {
    Listed.METHODS: _methods,
    Listed.DATASETS: _datasets,
    Listed.DOMAINS: _domains,
    Listed.CORRUPTIONS: _corruptions,
    Listed.ENCODERS: _encoders,
    Listed.METRICS: _metrics,
    Listed.TABLES: _tables,
    Listed.LAUNCHERS: documentation_rows("launcher"),
    Listed.SEGMENTERS: documentation_rows("segmenter"),
}


def _origin(entry: Entry) -> str:
    return "" if entry.origin == OWN else entry.origin


def _tasks(suite: str) -> Sequence[SuiteTask]:
    """The tasks of a suite. Raises UsageError where there is no such."""
    if suite not in SUITES:
        raise UsageError(f"unknown suite {suite!r}: {nearest(suite, SUITES)}")
    return SUITES[suite]()


def _print_tasks(suite: str) -> None:
    tasks = _tasks(suite)
    table = borderless("task", "modalities")  # a task's name says its sources and its target
    for item in tasks:
        table.add_row(item.name, item.modality_set)
    out = console()
    out.print(table)
    counts = Counter(item.group for item in tasks)
    words = " + ".join(f"{count} {group}" for group, count in counts.items())
    out.print(f"{words} = {counted(len(tasks), 'task')}", markup=False, highlight=False)
