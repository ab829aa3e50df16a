"""One small network in this process."""

from __future__ import annotations

from pathlib import Path

from mmbench.benchmark import Experiment, run
from mmbench.benchmark.launch import Summary

from ..benchmark.conftest import write_dataset


def train(folder: Path, write: bool = False, **more: object) -> Summary:
    """Trains what lacks in the store ``runs`` of a folder, on data that are written there first if need be."""
    if write:
        write_dataset(folder / "data" / "toy")
    asked = {"methods": ["erm(layers=1)"], "datasets": ["toy"], "seeds": [0], "protocol": {"epochs": 2}}
    asked |= {"launcher": "debug", "device": "cpu", "corruptions": ["drift"], "data_root": folder / "data"}
    return run(Experiment.read({**asked, "store": folder / "runs", **more}))
