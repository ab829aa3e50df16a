"""The harness: experiments, jobs, the runner, the store, the command ``mmbench``.

The Python interface::

    from mmbench.benchmark import Experiment, leaderboard, run

    run(Experiment(methods=["erm", "ebmc"], datasets=["mosi"], store="runs"))
    print(leaderboard("runs"))

Every table of the catalogue is a function of its name, too: ``from mmbench.benchmark import robustness, ranks``;
and so is every picture: ``from mmbench.benchmark import plot_degradation``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .check.conformance import check_corruption, check_dataset, check_method
    from .cli.progress import progress
    from .core.errors import UsageError
    from .core.protocol import Protocol
    from .launch.plan import Plan, plan
    from .launch.run import Summary, run
    from .planning.experiment import Experiment, Search
    from .report.api import findings, pictures, plot, table
    from .report.results import leaderboard, missing_modalities, predictions, results
    from .train.network import TrainedNetwork, load, load_network
    from .train.new_samples import predict

_HOME = {
    "check_corruption": "check.conformance",
    "check_dataset": "check.conformance",
    "check_method": "check.conformance",
    "UsageError": "core.errors",
    "Experiment": "planning.experiment",
    "Protocol": "core.protocol",
    "Search": "planning.experiment",
    "Plan": "launch.plan",
    "Summary": "launch.run",
    "plan": "launch.plan",
    "run": "launch.run",
    "TrainedNetwork": "train.network",
    "findings": "report.api",
    "load": "train.network",
    "load_network": "train.network",
    "pictures": "report.api",
    "plot": "report.api",
    "progress": "cli.progress",
    "table": "report.api",
    "predict": "train.new_samples",
    "leaderboard": "report.results",
    "missing_modalities": "report.results",
    "predictions": "report.results",
    "results": "report.results",
}

__all__ = [
    "Experiment",
    "Plan",
    "Protocol",
    "Search",
    "Summary",
    "TrainedNetwork",
    "UsageError",
    "check_corruption",
    "check_dataset",
    "check_method",
    "findings",
    "leaderboard",
    "load",
    "load_network",
    "missing_modalities",
    "pictures",
    "plan",
    "plot",
    "predict",
    "predictions",
    "progress",
    "results",
    "run",
    "table",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mmbench")
    if name in _HOME:
        value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    elif not name.startswith("_") and name in _tables():
        value = import_module(".report.api", __name__).table_function(name)
    elif name in (plots := _plots() if name.startswith("plot_") else {}):
        value = import_module(".report.api", __name__).plot_function(plots[name])
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_tables(), *_plots()})


def _tables() -> tuple[str, ...]:
    """The names of all tables, which are functions here."""
    return tuple(import_module("mmbench.leaderboards.catalog").TABLES)


def _plots() -> dict[str, str]:
    """The names of the functions of pictures -> those of the pictures."""
    names = import_module(".report.pictures", __name__).PICTURES
    return {f"plot_{name.replace('-', '_')}": name for name in names}
