"""Which tables a command makes: those of the catalogue and those from outside, by the names that a user gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...leaderboards.catalog import TABLES, Table
from ..core.errors import UsageError, nearest
from ..core.registry import entries
from .view import AS_MADE, View

if TYPE_CHECKING:
    import pandas as pd

    from ...leaderboards.metrics.base import Metric
    from ...leaderboards.tables.results import Result


def known_tables(plugins: tuple[Path, ...] = ()) -> dict[str, Table]:
    """Every table by name: those of mmbench, of installed packages and of plug-in files, in this order.

    Raises:
        UsageError: a plug-in cannot be read, declares no table, or takes a name of mmbench.
    """
    tables = dict(TABLES)
    for entry in entries("table", plugins).values():
        if entry.name in TABLES:
            raise UsageError(
                f"table {entry.name!r} of {entry.origin} is one of mmbench's: choose another name"
            )
        declared = entry.load()
        if not isinstance(declared, Table) or declared.name != entry.name:
            raise UsageError(f"{entry.name}: {entry.module}:{entry.attribute} is no Table of that name")
        if declared.source and declared.source not in TABLES:
            raise UsageError(
                f"table {entry.name!r} is made from {declared.source!r}, which mmbench does not have"
            )
        tables[entry.name] = replace(declared, origin=entry.origin)
    return tables


def add_metrics(plugins: tuple[Path, ...] = ()) -> None:
    """Makes the metrics of installed packages and plug-in files known in this process.

    Raises:
        UsageError: one is no metric, belongs to no family, or takes a name of mmbench.
    """
    metrics = entries("metric", plugins)
    if not metrics:
        return
    from ...leaderboards.metrics import registry
    from ...leaderboards.metrics.base import Metric

    for entry in metrics.values():
        metric = entry.load()
        if not isinstance(metric, Metric) or metric.name != entry.name:
            raise UsageError(f"{entry.name}: {entry.module}:{entry.attribute} is no Metric of that name")
        try:
            registry.add(replace(metric, version=entry.origin))
        except ValueError as error:
            raise UsageError(str(error)) from None


def use_metrics(plugins: tuple[Path, ...] = ()) -> None:
    """As ``add_metrics``; those of plug-in files that are not named any more are forgotten.

    A process that makes several reports, such as a notebook, scores each by the metrics that it names.
    """
    from ...leaderboards.metrics import registry

    registry.forget_outside()
    add_metrics(plugins)


def named_table(name: str, plugins: tuple[Path, ...] = ()) -> Table:
    """The table of a name.

    Args:
        name: of the table.
        plugins: plug-in files that bring some.

    Returns:
        Its declaration.

    Raises:
        UsageError: there is none.
    """
    tables = known_tables(plugins)
    if name not in tables:
        raise UsageError(f"unknown table {name!r}: {nearest(name, tables)}")
    return tables[name]


def named_metric(name: str, plugins: tuple[Path, ...] = ()) -> Metric:
    """The metric of a name.

    Args:
        name: of the metric.
        plugins: plug-in files that bring some.

    Returns:
        Its declaration.

    Raises:
        UsageError: there is none.
    """
    from ...leaderboards.metrics.registry import METRICS

    use_metrics(plugins)
    if name not in METRICS:
        raise UsageError(f"unknown metric {name!r}: {nearest(name, METRICS)}")
    return METRICS[name]


def chosen_tables(text: str | None, results: Sequence[Result], plugins: tuple[Path, ...] = ()) -> list[str]:
    """The tables to make.

    Args:
        text: the names that ``--what`` gives, joined by commas; None or ``all`` for all that there are results for.
        results: one a job.
        plugins: plug-in files.

    Returns:
        Their names, in the order of the catalogue or of ``text``.

    Raises:
        UsageError: an unknown name.
    """
    names = named_tables(text, plugins)
    if names is not None:
        return list(names)
    return [name for name, table in known_tables(plugins).items() if table.needs(results)]


def named_tables(text: str | None, plugins: tuple[Path, ...] = ()) -> tuple[str, ...] | None:
    """The tables that ``--what`` names; None where it names none or all.

    Args:
        text: names with commas between them; None where nothing was asked for.
        plugins: plug-in files that bring some.

    Returns:
        The names in their order; None for all.

    Raises:
        UsageError: an unknown name.
    """
    tables = known_tables(plugins)
    names = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    for name in names:
        if name not in tables and name != "all":
            raise UsageError(f"unknown leaderboard {name!r}: {nearest(name, tables)}")
    return None if not names or "all" in names else names


def frames(
    names: Sequence[str],
    results: Sequence[Result],
    reference: str = "",
    plugins: tuple[Path, ...] = (),
    view: View = AS_MADE,
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Makes tables, one after another.

    Args:
        names: which.
        results: one a job.
        reference: the row that ``relative`` divides by; empty for the default.
        plugins: plug-in files.
        view: which metric leads.

    Returns:
        Name and tidy frame of each.

    Raises:
        UsageError: the results hold nothing for one.
    """
    for name, made in _made(names, results, reference, plugins, view):
        if isinstance(made, ValueError):
            raise UsageError(f"leaderboard {name}: {made}")
        yield name, made


def frames_there(
    names: Sequence[str], results: Sequence[Result], needed: str, view: View = AS_MADE
) -> dict[str, pd.DataFrame]:
    """Makes tables, and leaves out those that the results hold nothing for.

    Args:
        names: which.
        results: one a job.
        needed: the table that must be among them.
        view: which metric leads.

    Returns:
        Name -> tidy frame.

    Raises:
        UsageError: the results hold nothing for ``needed``, or no table has the metric.
    """
    made = dict(_made(names, results, "", (), view))
    if isinstance(why := made.get(needed), ValueError):
        raise UsageError(f"leaderboard {needed}: {why}")
    there = {name: frame for name, frame in made.items() if not isinstance(frame, ValueError)}
    return view.shown(there, known_tables(()))


def chosen_frames(
    what: str | None,
    results: Sequence[Result],
    reference: str = "",
    plugins: tuple[Path, ...] = (),
    view: View = AS_MADE,
) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Makes the tables that a user chose. One that has nothing to say ends the others only where it was named.

    Args:
        what: which, as ``chosen_tables`` takes it.
        results: one a job.
        reference: the row that ``relative`` divides by; empty for the default.
        plugins: plug-in files.
        view: which metric leads, also in tables that are made of others.

    Returns:
        Name -> tidy frame; and name -> reason, of those that nobody named and for which the results hold nothing.

    Raises:
        UsageError: an unknown name, or the results hold nothing for a table that was named, or for any.
    """
    names = chosen_tables(what, results, plugins)
    if named_tables(what, plugins) is not None:
        return dict(frames(names, results, reference, plugins, view)), {}
    made = dict(_made(names, results, reference, plugins, view))
    nothing = {name: str(why) for name, why in made.items() if isinstance(why, ValueError)}
    known = {name: frame for name, frame in made.items() if not isinstance(frame, ValueError)}
    if nothing and not known:
        name, why = next(iter(nothing.items()))
        raise UsageError(f"leaderboard {name}: {why}")
    return known, nothing


def _made(
    names: Sequence[str],
    results: Sequence[Result],
    reference: str,
    plugins: tuple[Path, ...],
    view: View = AS_MADE,
) -> Iterator[tuple[str, pd.DataFrame | ValueError]]:
    """As ``frames``, with the fault of a table in place of its frame."""
    tables = known_tables(plugins)
    known: dict[str, pd.DataFrame] = {}
    for name in names:
        source = tables[name].source
        try:
            for each in filter(None, (source, name)):
                if each not in known:
                    given = known[source] if source and each == name else results
                    known[each] = view.leads(tables[each].make(given, reference))
            yield name, known[name]
        except ValueError as error:
            yield name, error


def is_complete(made: Mapping[str, pd.DataFrame], tables: Mapping[str, Table]) -> bool:
    """Whether the results that the tables need are all there and can be used.

    Args:
        made: name -> frame.
        tables: name -> declaration. Where that says ``complete``, predictions that cannot be scored count, too; a
            metric that has no value for predictions that are whole never does.
    """
    return not any(_lacks(tables[name], frame) for name, frame in made.items() if not tables[name].plain)


def _lacks(table: Table, frame: pd.DataFrame) -> bool:
    from ...leaderboards.tables.accuracy import unscored

    seeds = (frame["hole"] != "") & (frame["n"] < frame["n_planned"])
    return bool(seeds.any()) or (table.complete and bool(unscored(frame).any()))
