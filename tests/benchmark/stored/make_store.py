"""Writes ``store-schema-1``, as mmbench 0.1 wrote stores. Kept to say what it holds; it is not run again.

A later version reads that folder as it is: ``tests/benchmark/store/test_schema.py``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from mmbench.benchmark.core.atomic_files import write_json
from mmbench.benchmark.core.job import Data, Job
from mmbench.benchmark.store.store import Store
from mmbench.benchmark.train.predict import to_parquet

RULES = {
    "name": "fair",
    "epochs": 2,
    "batch_size": 32,
    "optimizer": "adamw",
    "learning_rate": 0.001,
    "schedule": "cosine",
    "weight_decay": 0.01,
    "clip_norm": 1.0,
    "standardize": True,
    "selection": "source-validation",
    "widths": "strict",
}
TARGET = np.array([-2.0, -1.0, 0.0, 1.0, 2.0], np.float32)


def rows(split: str, condition: str, error: float) -> pa.Table:
    """Scores that miss every target by ``error``."""
    count = len(TARGET)
    return pa.table(
        {
            "split": pa.array([split] * count).dictionary_encode(),
            "condition": pa.array([condition] * count).dictionary_encode(),
            "sample_id": pa.array([f"{split}-{row}" for row in range(count)]),
            "domain": pa.array([""] * count).dictionary_encode(),
            "target": pa.array(TARGET),
            "score": pa.array(TARGET + np.float32(error)),
        }
    )


def with_features(table: pa.Table) -> pa.Table:
    """A feature of two numbers for each row."""
    values = np.stack([TARGET, TARGET**2], axis=1).ravel()
    return table.append_column("fused", pa.FixedSizeListArray.from_arrays(pa.array(values), 2))


def main(folder: Path) -> None:
    """Two seeds: 0 as first written, without what came later; 1 with every field and further outputs."""
    store = Store(folder)
    first = {"train_with_missing": "off", "train_with_noise": "off"}
    for seed, rules in enumerate([RULES, {**RULES, **first}]):
        data = (Data("toy", "ab" * 32, "open", False),)
        job = Job("toy", "erm", {"width": 40}, "1", ("text", "audio"), data, rules, seed, "erm", "regression")
        store.add([job])
        if seed == 0:
            later = ("train_missing", "needs_domains")
            values = {key: value for key, value in job.to_dict().items() if key not in later}
            write_json(store.job(job.id).path / "job.json", {"schema": 1, **values})
        conditions = {"clean": 0.5, "missing:text": 1.5, "missing:audio": 1.0}
        table = pa.concat_tables(
            rows(split, name, error + seed)
            for split in ("valid", "test")
            for name, error in conditions.items()
        )
        fit = {
            "selection": "source-validation",
            "selected_epoch": 1,
            "metric": "mae",
            "parameters": 7,
            "epochs": [],
        }
        files = {"predictions.parquet": to_parquet(table), "fit.json": json.dumps(fit).encode()}
        store.job(job.id).finish(files, {"seconds": {"fit": 1.0}})
        drift = pa.concat_tables(
            rows("test", f"drift:{m}@{s}", s) for m in ("text", "audio") for s in range(1, 6)
        )
        store.job(job.id).add_evaluation("drift", to_parquet(drift))
        own = pa.concat_tables(with_features(rows(split, "clean", 0.5 + seed)) for split in ("train", "test"))
        store.job(job.id).add_evaluation("features", to_parquet(own))
        store.job(job.id).add_evaluation(
            "ood-other~0123456789ab", to_parquet(with_features(rows("ood", "clean", 3)))
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
