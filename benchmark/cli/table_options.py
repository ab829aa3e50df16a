"""The options that the commands which make tables and pictures share: one place that says what is shown of a store."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...leaderboards.catalog import TABLES
from ...leaderboards.labels import ENSEMBLES
from ..core.errors import UsageError
from ..core.strings import as_list
from .completion import COMPLETIONS
from .options import Plugins, plugin_files

if TYPE_CHECKING:
    from ..report.view import View

What = Annotated[
    str | None,
    typer.Option(
        help="Which tables, joined by commas; by default a summary is printed and all that there is data for are written; "
        "all: print every one. "
        + "; ".join(f"{table.name}: {table.title}" for table in TABLES.values())
        + ".",
        autocompletion=COMPLETIONS["what"],
    ),
]


@dataclass(frozen=True)
class Asked:
    """What a command shows of a store.

    Attributes:
        methods, datasets, modalities, seeds: the texts of the flags that choose jobs; None for all.
        ensemble: what the members of ensembles differ in; None for no ensembles.
        view: how tables are shown.
        plugins: plug-in files.
    """

    methods: str | None
    datasets: str | None
    modalities: str | None
    seeds: str | None
    ensemble: str | None
    view: View
    plugins: tuple[Path, ...]

    def chosen(self) -> Any:
        """The filter of jobs, a ``report.results.Filter``; what reads results is imported here and not before."""
        from ..report.results import filter_from

        jobs = filter_from(self.methods, self.datasets, self.seeds, self.modalities, self.ensemble)
        return replace(jobs, lead=self.view.metric)


def _option(text: str, name: str, *flags: str) -> Any:
    completion = COMPLETIONS.get(name)
    return Annotated[str | None, typer.Option(*flags, help=text, autocompletion=completion)]


#: Parameter -> what it is, in the order of the help.
_JOBS: dict[str, Any] = {
    "methods": _option("Only these methods.", "methods"),
    "datasets": _option("Only these datasets or shifts.", "datasets", "--datasets", "--tasks"),
    "modalities": _option("Only these sets, such as text+audio or T+A,T.", "modalities"),
    "seeds": _option("Only these seeds.", "seeds"),
    "ensemble": _option(
        f"Also show ensembles of stored predictions, whose members differ in {', '.join(ENSEMBLES[:-1])} or "
        f"{ENSEMBLES[-1]}: their vote, and their stacking by validation samples.",
        "ensemble",
    ),
}
_SHOWN: dict[str, Any] = {
    "metric": _option(
        "The metric that leads: in the first column, in summaries, ranks, pictures and tables of one metric.",
        "metric",
    ),
    "top": Annotated[
        int | None, typer.Option(min=1, help="Only so many methods of each set of comparable rows, the best.")
    ],
    "sort": _option("The column by which rows are ordered, or method for their names.", "metric"),
    "columns": _option("Only these columns (metrics, conditions), or those that begin so.", "metric"),
}


def asks_for_tables(*shown: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options by which jobs are chosen, and some of those that say how they are shown.

    Args:
        shown: any of ``metric``, ``top``, ``sort`` and ``columns``.

    Returns:
        A decorator of a command with a parameter ``asked``, in whose place the options stand in its help.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        options = {**_JOBS, **{name: _SHOWN[name] for name in shown}}

        def wrapper(**given: Any) -> None:
            own = {name: given.pop(name) for name in options}
            command(asked=asked_of(own, plugin_files(given.pop("plugin"))), **given)

        parameters: list[inspect.Parameter] = []
        for one in inspect.signature(command, eval_str=True).parameters.values():
            if one.name == "asked":
                parameters += [
                    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
                    for name, kind in options.items()
                ]
            else:
                parameters.append(one.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        parameters.append(
            inspect.Parameter("plugin", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Plugins)
        )
        wrapper.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        wrapper.__name__, wrapper.__doc__ = command.__name__, command.__doc__
        return wrapper

    return decorate


def asked_of(flags: dict[str, Any], plugins: tuple[Path, ...]) -> Asked:
    """What flags ask for.

    Args:
        flags: parameter -> value, None where it was not given.
        plugins: plug-in files.

    Raises:
        UsageError: a list names nothing.
    """
    from ..report.view import View  # with pandas

    columns = tuple(as_list(flags.get("columns")))
    if flags.get("columns") is not None and not columns:
        raise UsageError("--columns names nothing: write such as accuracy,mae")
    view = View(flags.get("metric") or "", flags.get("top") or 0, flags.get("sort") or "", columns)
    return Asked(**{name: flags[name] for name in _JOBS}, view=view, plugins=plugins)
