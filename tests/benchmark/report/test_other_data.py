"""Results on other contents of one dataset are never compared, whatever their methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmbench.benchmark import leaderboard, run
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.report.results import results
from mmbench.leaderboards.catalog import TABLES

from ..conftest import write_dataset


def extract_anew(folder: Path) -> None:
    """Gives a dataset other features for the same samples and targets."""
    draw = np.random.default_rng(7)
    for file in folder.rglob("*.npz"):
        arrays = dict(np.load(file))
        for name, values in arrays.items():
            if values.dtype == np.float32 and values.ndim == 3:
                arrays[name] = (values + draw.normal(size=values.shape) * (values != 0)).astype(np.float32)
        np.savez(file, **arrays)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A store with two methods on the same data, and one in which the second had other features."""
    folder = tmp_path_factory.mktemp("contents")
    for root in ("old", "new"):
        write_dataset(folder / root / "toy")
    extract_anew(folder / "new" / "toy")

    def train(store: str, method: str, root: str) -> None:
        asked = {"methods": method, "datasets": "toy", "seeds": "0-1", "protocol": {"epochs": 1}}
        places = {"data_root": folder / root, "store": folder / store, "launcher": "debug"}
        assert run(Experiment.read({**asked, **places})).ok

    for store, roots in {"same": ("old", "old"), "other": ("old", "new")}.items():
        train(store, "erm", roots[0])
        train(store, "mixup", roots[1])
    return {store: folder / store for store in ("same", "other")}


def accuracy(store: Path) -> Any:
    """The frame of a store; untyped, as the type checker takes every column of a frame for a number."""
    return leaderboard(store)


def test_rows_of_other_features_stand_in_another_block_and_are_not_compared(stores: dict[str, Path]):
    frame = accuracy(stores["other"])
    names = {str(row["method"]): str(row["protocol"]) for row in frame.to_dict("records")}
    prints = {str(row["method"]): str(row["audit_fingerprints"]) for row in frame.to_dict("records")}
    assert prints["erm"] != prints["mixup"]
    for method, said in prints.items():
        assert names[method] == f"fair (epochs=1) [data {said.removeprefix('toy: ')[:8]}]"
    assert set(frame["mark"]) == {""}
    assert frame["p_vs_best"].isna().all()


def test_rows_of_the_same_content_are_compared_and_carry_no_tag(stores: dict[str, Path]):
    frame = accuracy(stores["same"])
    assert set(frame["protocol"]) == {"fair (epochs=1)"}
    assert frame["audit_fingerprints"].nunique() == 1
    assert frame["p_vs_best"].notna().any()


def test_no_table_pairs_rows_of_other_contents(stores: dict[str, Path]):
    read = results(stores["other"])
    ranks: Any = TABLES["ranks"].make(TABLES["accuracy"].make(read))
    assert ranks.empty or not ranks["method"].isin(["erm", "mixup"]).any()
    frames: list[Any] = [TABLES[name].make(read) for name in ("missing", "cost")]
    for frame in frames:
        assert frame.groupby(["task", "modalities", "protocol", "data"])["method"].nunique().max() == 1
