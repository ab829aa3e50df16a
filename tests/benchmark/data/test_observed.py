"""Tensors of data that are partly observed and irregular."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from mmbench.benchmark.data.ood_split import resize_samples
from mmbench.benchmark.data.tensors import TaskRequest, load_task
from mmbench.datasets.dataset import SPLITS, Samples, Target

from ..conftest import Call, make_samples, write_open_layout

TARGET = Target("regression", (-3.0, 3.0), metrics="regression")
REQUEST = TaskRequest("holes", ("x",), ("text", "audio"), True, "strict", True, "cpu")


def with_holes(samples: Samples, seed: int = 0, junk: float = 0.0) -> Samples:
    """The samples with two of five entries of text not observed, where other values stand, and with times of audio."""
    draw = np.random.default_rng(seed)
    valid = samples.mask["text"][..., None]
    observed = (draw.random(samples.features["text"].shape) < 0.6) & valid
    times = draw.random(samples.mask["audio"].shape).cumsum(axis=1) * samples.mask["audio"]
    return replace(
        samples,
        features={**samples.features, "text": np.where(observed, samples.features["text"], np.float32(junk))},
        present={**samples.present, "text": observed.any(axis=(1, 2))},
        observed={"text": observed},
        time={"audio": times.astype(np.float32)},
    )


@dataclass
class Held:
    """A dataset in memory."""

    splits: Mapping[str, Samples]
    name: str = "holes"
    target: Target = TARGET
    modalities: tuple[str, ...] = ("text", "audio")

    def load(self) -> Mapping[str, Samples]:
        return self.splits


def splits(holes: bool = True, seed: int = 0, junk: float = 0.0) -> dict[str, Samples]:
    whole = {split: make_samples(30, seed + place) for place, split in enumerate(SPLITS)}
    return {s: with_holes(one, seed, junk) for s, one in whole.items()} if holes else whole


def test_statistics_are_those_of_the_observed_entries() -> None:
    held = splits()
    data = load_task(REQUEST, {"holes": Held(held)})  # pyright: ignore[reportArgumentType]
    train = held["train"]
    with_nan = np.where(train.observed["text"], train.features["text"].astype(np.float64), np.nan)
    mean, deviation = np.nanmean(with_nan, axis=(0, 1)), np.nanstd(with_nan, axis=(0, 1))
    for split in ("train", "test"):
        one, batch = held[split], getattr(data, split).batch
        expected = np.clip((one.features["text"] - mean) / deviation, -5, 5)
        expected = np.where(one.observed["text"], expected, 0)
        np.testing.assert_allclose(batch.features["text"].numpy(), expected, atol=1e-5)
        assert torch.equal(batch.observed["text"], torch.from_numpy(one.observed["text"]))
        assert torch.equal(batch.time["audio"], torch.from_numpy(one.time["audio"]))
        assert (list(batch.observed), list(batch.time)) == (["text"], ["audio"])
    assert data.spec("fair").partly_observed == ("text",)
    alone = data.only(("audio",))
    assert (alone.spec("fair").partly_observed, list(alone.train.batch.time)) == ((), ["audio"])


def test_whatever_stands_where_nothing_was_observed_is_not_read() -> None:
    clean, dirty = (
        load_task(REQUEST, {"holes": Held(splits(junk=junk))})  # pyright: ignore[reportArgumentType]
        for junk in (0.0, np.nan)
    )
    for split in SPLITS:
        left, right = getattr(clean, split).batch, getattr(dirty, split).batch
        assert torch.equal(left.features["text"], right.features["text"])
        assert torch.equal(left.features["audio"], right.features["audio"])


def test_a_feature_that_is_never_observed_in_training_is_zero() -> None:
    held = splits()
    held["train"].observed["text"][..., 2] = False
    data = load_task(REQUEST, {"holes": Held(held)})  # pyright: ignore[reportArgumentType]
    assert not data.test.batch.features["text"][..., 2].any()
    assert data.test.batch.observed["text"][..., 2].any()


def test_beside_data_that_are_partly_observed_all_entries_of_others_are_observed() -> None:
    whole, holes = Held(splits(holes=False, seed=7), "whole"), Held(splits())
    third = Held(splits(holes=False, seed=9), "third")
    located = {"holes": holes, "whole": whole, "third": third}
    data = load_task(replace(REQUEST, task="holes+whole->third"), located)  # pyright: ignore[reportArgumentType]
    train, test = data.train.batch, data.test.batch
    mask = torch.from_numpy(whole.splits["train"].mask["text"])
    assert torch.equal(train.observed["text"][30:], mask.unsqueeze(-1).expand(-1, -1, 6))
    assert torch.equal(train.observed["text"][:30], torch.from_numpy(holes.splits["train"].observed["text"]))
    assert not train.time
    assert not test.observed
    assert data.spec("fair").partly_observed == ("text",)


def test_the_context_carries_both() -> None:
    data = load_task(REQUEST, {"holes": Held(splits())}).with_context()  # pyright: ignore[reportArgumentType]
    batch, rows = data.train.batch, data.train.previous.clamp(min=0)
    assert batch.context is not None
    part = batch.take(torch.tensor([4, 1])).context
    assert part is not None
    assert torch.equal(part.observed["text"], batch.observed["text"][rows[[4, 1]]])
    assert torch.equal(part.time["audio"], batch.time["audio"][rows[[4, 1]]])


def test_a_foreign_series_is_observed_where_all_that_it_is_made_of_was() -> None:
    one = splits()["test"]
    same = resize_samples(one, {"text": 6, "audio": 3}, {"text": 4, "audio": 4})
    np.testing.assert_array_equal(same.observed["text"], one.observed["text"])
    smaller = resize_samples(one, {"text": 4, "audio": 3}, {"text": 2, "audio": 2})
    observed, values = smaller.observed["text"], smaller.features["text"]
    assert observed.shape == values.shape == (30, 2, 4)
    assert not values[~observed].any()
    everything = replace(one, observed={"text": one.mask["text"][..., None].repeat(6, axis=2)})
    full = resize_samples(everything, {"text": 4, "audio": 3}, {"text": 2, "audio": 2})
    assert (full.observed["text"] == full.mask["text"][..., None]).all()
    assert observed.any()
    assert (observed <= full.observed["text"]).all()
    assert smaller.time["audio"].shape == (30, 2)


def test_a_run_on_series_with_holes_is_tested_with_more_of_them(tmp_path: Path, call: Call) -> None:
    write_open_layout(tmp_path / "data" / "holes", splits(), TARGET)
    store = ("--data-root", tmp_path / "data", "--store", tmp_path / "runs")
    words = (
        "--datasets",
        "holes",
        "--methods",
        "erm",
        "--seeds",
        "0",
        "--epochs",
        "1",
        "--launcher",
        "debug",
    )
    code, said = call("run", *words, *store, "--corruptions", "missing-entries", "--device", "cpu")
    assert code == 0, said
    files = (tmp_path / "runs").rglob("evaluations/*.parquet")
    conditions = {name for file in files for name in pq.read_table(file)["condition"].to_pylist()}
    kinds = ("missing-points", "missing-blocks", "missing-steps")
    assert conditions >= {
        f"{kind}:{name}@{n}" for kind in kinds for name in ("text", "audio") for n in range(1, 6)
    }
    code, said = call("data", "info", "holes", "--data-root", tmp_path / "data")
    assert code == 0
    assert "text: observed entries" in said
    assert "audio: times span" in said
