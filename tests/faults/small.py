"""One small network in this process."""

from __future__ import annotations

from pathlib import Path

from mmbench.benchmark import Experiment, run
from mmbench.benchmark.launch.run import Summary

from ..benchmark.conftest import write_dataset


def asked(folder: Path, **more: object) -> Experiment:
    """A network on the data of a folder, its store there, too."""
    values = {"methods": ["erm(layers=1)"], "datasets": ["toy"], "seeds": [0], "protocol": {"epochs": 2}}
    values |= {"launcher": "debug", "device": "cpu", "corruptions": ["drift"], "data_root": folder / "data"}
    return Experiment.read({**values, "store": folder / "runs", **more})


def train(folder: Path, write: bool = False, **more: object) -> Summary:
    """Trains what lacks in the store, on data that are written first if need be."""
    if write:
        write_dataset(folder / "data" / "toy")
    return run(asked(folder, **more))
