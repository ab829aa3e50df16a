"""The tables and pictures of a store as Python functions: one for each table of the catalogue, made from its declaration."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ...leaderboards.catalog import TABLES
from ..core.strings import as_list
from ..store.names import StoreError, inside
from .results import Filter, filter_from, readable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: Names, or one text with commas between them, as the command takes them; None for all.
Names = Sequence[str] | str | None


def table(
    name: str,
    store: Path | str = "runs",
    methods: Names = None,
    datasets: Names = None,
    seeds: Sequence[int] | str | None = None,
    reference: str = "",
    plugins: tuple[Path, ...] = (),
) -> pd.DataFrame:
    """A table of a store: the rows of the CSV file that ``mmbench leaderboard --what NAME`` writes.

    Args:
        name: of the table, one of ``leaderboards.catalog.TABLES`` or of a plug-in.
        store: folder of the results.
        methods: only these, by name or label.
        datasets: only these datasets or shifts.
        seeds: only these.
        reference: the row that ``relative`` divides by; empty for the default. Other tables do without.
        plugins: files that bring tables or metrics.

    Returns:
        A tidy frame at full precision. Of tables of scores a row for each task, modality set, method, metric and condition, with mean,
        standard deviation, interval and n, and in ``hole`` why there is no value.

    Raises:
        UsageError: an unknown table, no store, nothing in it was chosen, or it holds nothing for the table.
        StoreError: a job in it cannot be read.
    """
    from .tables import tables_of

    chosen = _chosen(methods, datasets, seeds)
    made = tables_of(Path(store), chosen, name, Console(quiet=True), reference, plugins)
    if made.faults:
        raise StoreError(made.faults[0])
    return made.frames[name]


@lru_cache
def table_function(name: str) -> Callable[..., pd.DataFrame]:
    """``table`` for one name: what ``from mmbench.benchmark import robustness`` gives.

    Args:
        name: of a table of the catalogue.

    Returns:
        A function of the other parameters of ``table``.
    """

    function = _of_one_name(table, name)
    function.__name__ = function.__qualname__ = name
    title = f"{TABLES[name].title}: the table of ``mmbench leaderboard --what {name}``."
    function.__doc__ = f"{title}\n{function.__doc__}"
    return function


def _of_one_name(general: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A function whose first argument is a name as one of its other arguments, with what its documentation says of them."""

    def function(*args: Any, **kwargs: Any) -> Any:
        return general(name, *args, **kwargs)

    signature = inspect.signature(general)
    own = list(signature.parameters.values())[1:]
    lines = (general.__doc__ or "").splitlines()[1:]
    function.__module__ = "mmbench.benchmark"
    function.__signature__ = signature.replace(parameters=own)  # pyright: ignore[reportFunctionMemberAccess]
    function.__doc__ = "\n".join(line for line in lines if not line.strip().startswith("name: "))
    return function


def findings(
    store: Path | str = "runs",
    methods: Names = None,
    datasets: Names = None,
    seeds: Sequence[int] | str | None = None,
    plugins: tuple[Path, ...] = (),
    margin: float = 0.02,
    large: float = 0.1,
) -> pd.DataFrame:
    """The answers of ``mmbench findings``: the questions of MMDG-Bench, and whether fusion hurts.

    Args:
        store: folder of the results.
        methods: only these, by name or label.
        datasets: only these datasets or shifts.
        seeds: only these.
        plugins: files that bring tables or metrics.
        margin: a gain below this share of the value is marginal.
        large: a gap or loss above this share of the value is large.

    Returns:
        A row for each question, protocol and kind of data: number, question, protocol, data, answer, statistic and tasks.

    Raises:
        UsageError: no store, or nothing in it was chosen.
        ValueError: a border that is not above 0.
    """
    import pandas as pd

    from ...leaderboards.findings import findings as questions
    from .chosen_tables import chosen_tables, frames_there, use_metrics

    use_metrics(plugins)
    results, _ = readable(store, _chosen(methods, datasets, seeds))
    names = [name for name in chosen_tables(None, results) if name in questions.READS]
    answers = questions.findings(frames_there(names, results, "accuracy"), margin, large)
    rows = [{key: value for key, value in asdict(one).items() if key != "estimates"} for one in answers]
    return pd.DataFrame(rows)


def pictures(
    store: Path | str = "runs",
    out: Path | str | None = None,
    which: str = "",
    methods: Names = None,
    datasets: Names = None,
    seeds: Sequence[int] | str | None = None,
    plugins: tuple[Path, ...] = (),
    size: str = "",
    style: str = "",
) -> list[Path]:
    """Writes what ``mmbench plot`` writes. ``plot`` gives the figures.

    Args:
        store: folder of the results.
        out: the folder of the files; by default ``leaderboards`` in the store.
        which: names of pictures with commas between them; nothing for all that there is data for but ``learning-curves``.
        methods: only these, by name or label.
        datasets: only these datasets or shifts.
        seeds: only these.
        plugins: files that bring tables or metrics.
        size: ``WIDTHxHEIGHT`` in inches, or in millimetres with ``mm`` behind it.
        style: ``paper`` or ``slide``.

    Returns:
        The files, PNG and PDF.

    Raises:
        UsageError: no store, nothing in it was chosen, no such picture, size or style, or there is nothing to draw.
    """
    from ..core.errors import UsageError
    from .chosen_tables import use_metrics
    from .pictures import chosen_pictures, picture_form, write_pictures

    names, form = chosen_pictures(which), picture_form(("png", "pdf"), size, style)
    use_metrics(plugins)
    results, _ = readable(store, _chosen(methods, datasets, seeds))
    folder = Path(out) if out is not None else inside(Path(store) / "leaderboards")
    files, reasons = write_pictures(results, folder, form=form, which=names)
    if not files:
        raise UsageError(f"nothing to draw: {'; '.join(reasons)}")
    return files


def plot(
    name: str,
    store: Path | str = "runs",
    methods: Names = None,
    datasets: Names = None,
    seeds: Sequence[int] | str | None = None,
    plugins: tuple[Path, ...] = (),
    metric: str = "",
    top: int = 0,
    size: str = "",
    style: str = "",
) -> dict[str, Figure]:
    """A picture of a store as figures: of curves one for each task and modality set, of diagnostics one for each method.

    Args:
        name: of the picture, as ``mmbench plot NAME`` takes it.
        store: folder of the results.
        methods: only these, by name or label.
        datasets: only these datasets or shifts.
        seeds: only these.
        plugins: files that bring tables or metrics.
        metric: which leads.
        top: only so many methods of each task, the best; 0 for all.
        size: ``WIDTHxHEIGHT`` in inches, or in millimetres with ``mm`` behind it.
        style: ``paper`` or ``slide``.

    Returns:
        What its file would be called, without a suffix -> a matplotlib figure, which a notebook shows.

    Raises:
        UsageError: an unknown picture, no store, nothing in it was chosen, or there is nothing to draw.
    """
    from ..core.errors import UsageError
    from .chosen_tables import use_metrics
    from .pictures import draw_pictures, picture_look
    from .view import View

    look = picture_look(size, style)
    use_metrics(plugins)
    results, _ = readable(store, _chosen(methods, datasets, seeds))
    drawn = list(draw_pictures(results, [name], look, View(metric=metric, top=top)))
    figures = {one.stem: one.figure for one in drawn if not isinstance(one, str)}
    if not figures:
        raise UsageError(f"nothing to draw: {'; '.join(dict.fromkeys(map(str, drawn)))}")
    return figures


@lru_cache
def plot_function(name: str) -> Callable[..., dict[str, Figure]]:
    """``plot`` for one name: what ``from mmbench.benchmark import plot_degradation`` gives.

    Args:
        name: of a picture.

    Returns:
        A function of the other parameters of ``plot``.
    """
    function = _of_one_name(plot, name)
    function.__name__ = function.__qualname__ = f"plot_{name.replace('-', '_')}"
    function.__doc__ = f"The picture of ``mmbench plot {name}`` as figures.\n{function.__doc__}"
    return function


def _chosen(methods: Names, datasets: Names, seeds: Sequence[int] | str | None) -> Filter:
    """The filter that the arguments describe."""
    numbers = seeds if seeds is None or isinstance(seeds, str) else ",".join(map(str, seeds))
    return filter_from(_text(methods), _text(datasets), numbers)


def _text(names: Names) -> str | None:
    """Names as the command takes them."""
    if names is None or isinstance(names, str):
        return names
    return ",".join(as_list(list(names)))
