"""Ridge regression outside mmbench: its answers under every mask that ``mmbench masks export --values`` wrote.

    python ridge.py masks

It reads nothing but the files of the folder, and needs numpy, pandas and pyarrow alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

#: What the squares of the coefficients are multiplied by, chosen once and not by these data.
PENALTY = 100.0


def columns(
    part: Mapping[str, np.ndarray], there: Mapping[str, np.ndarray], kept: Mapping[str, np.ndarray]
) -> np.ndarray:
    """The mean of every modality over the steps that keep their features, [samples, features]; 0 where it is missing.

    Args:
        part: an exported split: standardised features, so that 0 is their mean.
        there: modality -> [samples], whether it is there.
        kept: modality -> [samples, time], the valid steps that keep their features.
    """
    found = []
    for name, flags in there.items():
        steps = kept[name] & flags[:, None]
        total = (part[name] * steps[..., None]).sum(axis=1)
        found.append(total / np.maximum(steps.sum(axis=1), 1)[:, None])
    return np.concatenate(found, axis=1)


def main(folder: Path) -> None:
    """Fits on the training part, breaks the others by the masks, and writes the answers to ``ridge/``."""
    manifest = json.loads((folder / "manifest.json").read_text())
    masks = pd.read_parquet(folder / "masks.parquet")
    steps = np.load(folder / "steps.npz")
    parts = {split: np.load(folder / "values" / f"{split}.npz") for split in ("train", "valid", "test")}
    train = parts["train"]
    names = [name for name in masks.columns if name in train]
    names.remove("sample_id")
    inputs = columns(train, {m: train[f"{m}_present"] for m in names}, {m: train[f"{m}_mask"] for m in names})
    target = train["target"]
    square = inputs.T @ inputs + PENALTY * np.eye(inputs.shape[1])
    weights = np.linalg.solve(square, inputs.T @ (target - target.mean()))

    answers = []
    for key, rows in masks.groupby(["split", "condition"], observed=True, sort=False):
        split, condition = cast(tuple[str, str], key)
        part = parts[split]
        rows = rows.set_index("sample_id").loc[part["sample_id"]]  # in the order of the arrays
        kept = {}
        for name in names:
            zeroed = f"{split}/{condition}/{name}"  # where the condition zeroes steps
            kept[name] = part[f"{name}_mask"] & steps.get(zeroed, True)
        there = {name: rows[name].to_numpy() for name in names}
        score = columns(part, there, kept) @ weights + target.mean()
        about = {"split": split, "condition": condition, "sample_id": rows.index}
        answers.append(pd.DataFrame({**about, "score": score}))
    own = folder / "ridge"
    own.mkdir()
    pd.concat(answers).to_parquet(own / "predictions.parquet", index=False)
    method = {"masks": manifest["id"], "method": "ridge", "seed": 0, "params": {"penalty": PENALTY}}
    (own / "method.json").write_text(json.dumps(method))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
