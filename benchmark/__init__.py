"""The harness: experiments, jobs, the runner, the store, the command ``mmbench``.

The Python interface::

    from mmbench.benchmark import Experiment, leaderboard, run

    run(Experiment(methods=["erm", "ebmc"], datasets=["mosi"], store="runs"))
    print(leaderboard("runs"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .check.conformance import check_corruption, check_dataset, check_method
    from .core.errors import UsageError
    from .core.protocol import Protocol
    from .launch.plan import Plan, plan
    from .launch.run import Summary, run
    from .planning.experiment import Experiment, Search
    from .report.results import leaderboard, missing_modalities, predictions, results
    from .train.network import TrainedNetwork, load_network
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
    "load_network": "train.network",
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
    "leaderboard",
    "load_network",
    "missing_modalities",
    "plan",
    "predict",
    "predictions",
    "results",
    "run",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mmbench")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value
