"""Rules of imputation, against pandas, and what a batch is after them."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.datasets.imputation import constants, fill, impute
from mmbench.datasets.imputation_rules import FillRule

RULES = list(get_args(FillRule))
WIDTH, STEPS = 3, 9


def holed(count: int = 20, seed: int = 0) -> Batch:
    """White noise at irregular times, two thirds not observed, with padding; one sample has an empty channel."""
    draw = torch.Generator().manual_seed(seed)
    values = 2 + torch.randn(count, STEPS, WIDTH, generator=draw)
    mask = torch.arange(STEPS) < torch.randint(4, STEPS + 1, (count, 1), generator=draw)
    observed = (torch.rand(count, STEPS, WIDTH, generator=draw) < 0.33) & mask.unsqueeze(-1)
    observed[0, :, 1] = False
    times = (torch.rand(count, STEPS, generator=draw) * 100).sort(dim=1).values
    batch = Batch(
        features={"x": values, "y": torch.randn(count, 2, 1, generator=draw)},
        mask={"x": mask, "y": torch.ones(count, 2, dtype=torch.bool)},
        present={name: torch.ones(count, dtype=torch.bool) for name in "xy"},
        target=torch.zeros(count),
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count),
        time={"x": times.where(mask, 0)},
    )
    return batch.with_observed({"x": observed})


def spec(rule: str, fills: tuple[float, ...] = (5.0, 6.0, 7.0)) -> Spec:
    return Spec({"x": WIDTH, "y": 1}, "regression", imputation=rule, imputed={"x": fills})  # type: ignore[arg-type]


def by_pandas(batch: Batch, rule: str, fills: tuple[float, ...]) -> np.ndarray:
    """[batch, time, feature], 0 at padding, one series after the other."""
    filled = np.zeros((len(batch), STEPS, WIDTH), np.float32)
    for row, channel in np.ndindex(len(batch), WIDTH):
        count = int(batch.mask["x"][row].sum())
        seen = batch.observed["x"][row, :count, channel].numpy()
        values = np.where(seen, batch.features["x"][row, :count, channel].numpy(), np.nan)
        series = pd.Series(values, index=batch.time["x"][row, :count].double().numpy())
        if rule == "forward":
            series = series.ffill()
        elif rule == "linear" and seen.any():
            series = series.interpolate("index", limit_direction="both")
        filled[row, :count, channel] = series.fillna(fills[channel])
    return filled


@pytest.mark.parametrize("rule", RULES)
def test_a_batch_is_filled_as_pandas_does(rule: str) -> None:
    batch = holed()
    found = impute(batch, spec(rule))
    np.testing.assert_allclose(found.features["x"].numpy(), by_pandas(batch, rule, (5, 6, 7)), atol=1e-4)
    assert torch.equal(found.observed_entries("x"), batch.mask["x"].unsqueeze(-1).expand(-1, -1, WIDTH))
    assert found.features["y"] is batch.features["y"]


@pytest.mark.parametrize("rule", RULES)
def test_what_was_not_observed_is_not_read_and_what_was_stays(rule: str) -> None:
    batch = holed()
    junk = batch.features["x"].where(batch.observed["x"], torch.nan)
    expected, found = (
        impute(one, spec(rule)).features["x"]
        for one in (batch, replace(batch, features={**batch.features, "x": junk}))
    )
    assert torch.equal(found, expected)
    assert torch.equal(found[batch.observed["x"]], batch.features["x"][batch.observed["x"]])


def test_without_a_rule_and_without_holes_a_batch_is_itself() -> None:
    batch = holed()
    assert impute(batch, spec("off")) is batch
    whole = replace(batch, observed={})
    assert impute(whole, spec("linear")) is whole


def test_a_sample_of_which_nothing_was_observed_lacks_the_modality() -> None:
    batch = holed()
    observed = batch.observed["x"].clone()
    observed[3] = False
    found = impute(batch.with_observed({"x": observed}), spec("mean"))
    assert not found.present["x"][3]
    assert not found.features["x"][3].any()


def test_two_observations_at_one_moment_and_steps_without_times() -> None:
    values = torch.tensor([[[1.0], [0.0], [4.0], [0.0], [6.0]]])
    observed = torch.tensor([[[True], [False], [True], [False], [True]]])
    at_once = fill(values, observed, torch.zeros(1, 5), torch.zeros(1), "linear")
    assert at_once.flatten().tolist() == [1, 1, 4, 4, 6]
    evenly = impute(
        replace(holed(1), features={"x": values}, mask={"x": torch.ones(1, 5, dtype=torch.bool)},
                observed={"x": observed}, time={}),
        replace(spec("linear"), imputed={"x": (0.0,)}),
    )  # fmt: skip
    assert evenly.features["x"].flatten().tolist() == [1, 2.5, 4, 5, 6]


def test_constants_are_those_of_the_observed_entries_of_the_batch_that_is_given() -> None:
    batch = holed()
    seen = np.where(batch.observed["x"], batch.features["x"], np.nan).reshape(-1, WIDTH)
    found = constants(batch, ("x",), "linear", {})
    np.testing.assert_allclose(found["x"], np.nanmean(seen, axis=0), rtol=1e-5)
    zero = torch.tensor([0.5, -1.0, 2.0])
    assert constants(batch, ("x",), "zero", {"x": zero}) == {"x": (0.5, -1.0, 2.0)}
    assert constants(batch, ("x",), "off", {}) == {}
    nothing = batch.with_observed({"x": torch.zeros_like(batch.observed["x"])})
    assert constants(nothing, ("x",), "mean", {}) == {"x": (0.0, 0.0, 0.0)}


def test_a_rule_that_is_fitted_is_refused_without_what_was_fitted() -> None:
    with pytest.raises(ValueError, match="imputation knn: no fitted imputer was given"):
        impute(holed(), spec("knn"))
