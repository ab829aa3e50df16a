"""Stores with searches whose trials ended as a test says, without training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from mmbench.benchmark.core.job import Job
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.search.study import Study, studies_of
from mmbench.benchmark.store.store import Store
from mmbench.benchmark.train.predict import to_parquet
from mmbench.leaderboards.tables.results import missing_patterns

#: Index of a trial -> metric and loss of its selected epoch, ``"failed"``, ``"pruned"`` or nothing.
Ends = Mapping[int, tuple[float, float] | str | None]


def asked(root: Path, **change: Any) -> Experiment:
    """A search of ``nel`` on ``toy``, unless other things are asked for."""
    values = {
        "methods": "nel",
        "datasets": "toy",
        "data_root": root / "data",
        "store": root / "runs",
        **change,
    }
    return Experiment.read({"search": {"draws": 3, "repeats": 2}, **values})


def study_of(experiment: Experiment) -> Study:
    """Its only one."""
    (study,) = studies_of(experiment)
    return study


def fit_record(
    metric: float, loss: float, kind: str = "mae", curve: list[float] | None = None
) -> dict[str, Any]:
    """The record of a fit whose last epoch is selected."""
    values = [*(curve or []), metric]
    epochs = [{"epoch": e, "stage": 0, "train": {}, "loss": loss, "metric": v} for e, v in enumerate(values)]
    return {"metric": kind, "selected_epoch": len(values) - 1, "epochs": epochs, "parameters": 1}


def predictions(job: Job, error: float) -> bytes:
    """A prediction table whose scores miss every target by ``error``."""
    target = np.linspace(-2.9, 2.9, 24)
    rows = []
    for split in ("valid", "test"):
        for condition in ("clean", *missing_patterns(job.modality_set)):
            about = {"split": split, "condition": condition, "domain": ""}
            ids = [f"{split}-{row}" for row in range(len(target))]
            rows.append(pd.DataFrame({**about, "sample_id": ids, "target": target, "score": target + error}))
    return to_parquet(pa.Table.from_pandas(pd.concat(rows), preserve_index=False))


def finish(
    store: Store,
    job: Job,
    fit: Mapping[str, Any],
    seconds: float = 1.0,
    predicted: bytes = b"nothing",
    environment: Mapping[str, Any] | None = None,
) -> None:
    """Ends a job well, after so many seconds or in a given environment."""
    store.add([job])
    files = {"predictions.parquet": predicted, "fit.json": json.dumps(fit).encode()}
    store.job(job.id).finish(files, environment or {"seconds": {"fit": seconds}})


def end(
    store: Store, study: Study, ends: Ends, kind: str = "mae", named: Callable[[int], Job] | None = None
) -> None:
    """Ends the trials of a study."""
    for index, how in ends.items():
        job = (named or study.sampled_job)(index)
        store.add([job])
        if how == "failed":
            store.job(job.id).fail("boom")
        elif how == "pruned":
            store.job(job.id).prune(
                {"reason": "pruned after epoch 1 of 9", "epochs": fit_record(9, 9)["epochs"]}
            )
        elif isinstance(how, tuple):
            finish(store, job, fit_record(*how, kind=kind))
