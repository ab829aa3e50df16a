"""The experiments that were run into a store, saved with every run, so that their jobs can be run again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..core.atomic_files import write_atomic
from ..core.plain_yaml import plain_yaml_text
from ..store.names import inside
from ..store.store import Store
from .experiment import Experiment


def save_experiment(experiment: Experiment) -> None:
    """Saves an experiment as YAML in its store. Paths are made absolute, so that it can be run from any folder."""
    values = experiment.given_values()
    values.pop("store", None)
    values["data_root"] = str(experiment.root.resolve())
    if experiment.data:
        values["data"] = {name: str(path.resolve()) for name, path in experiment.data.items()}
    if experiment.plugins:
        values["plugins"] = [str(path.resolve()) for path in experiment.plugins]
    text = plain_yaml_text(values, sort_keys=True).encode()
    folder = inside(experiment.store / "asked")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / f"{hashlib.sha256(text).hexdigest()[:16]}.yaml", text)


def saved_experiments(store: Store) -> list[Path]:
    """The YAML files of the experiments that were run into a store, the last one first."""
    files = (store.path / "asked").glob("*.yaml")
    return sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)
