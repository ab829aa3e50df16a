"""What networks and estimators read of series that are partly observed."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.controls.logistic import Logistic
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.losses import task_loss
from mmbench.methods.missing.ebmc import EBMC
from mmbench.methods.shared.networks import encoders
from mmbench.methods.shared.series_encoder import SeriesEncoder
from mmbench.methods.shared.statistics import observed_share, observed_statistics, statistics
from mmbench.methods.shared.summary import summary

STEPS, WIDTH = 12, 4


def told_by_holes(count: int = 120) -> Batch:
    """Two classes that differ in nothing but which entries were observed: every value is 0."""
    draw = torch.Generator().manual_seed(0)
    target = torch.arange(count) % 2
    rate = torch.where(target == 1, 0.8, 0.2)[:, None, None]
    mask = torch.ones(count, STEPS, dtype=torch.bool)
    observed = torch.rand(count, STEPS, WIDTH, generator=draw) < rate
    return Batch(
        features={"x": torch.zeros(count, STEPS, WIDTH)},
        mask={"x": mask},
        present={"x": observed.flatten(1).any(dim=1)},
        target=target,
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count),
        observed={"x": observed},
    )


def spec(partly: bool, steps: int = STEPS) -> Spec:
    return Spec(
        {"x": WIDTH},
        "classification",
        classes=2,
        steps={"x": steps},
        partly_observed=("x",) if partly else (),
    )


@pytest.mark.parametrize("steps", [STEPS, 1])
@pytest.mark.parametrize("partly", [True, False])
def test_a_signal_in_what_was_observed_is_read_where_the_spec_says_so(partly: bool, steps: int) -> None:
    whole = told_by_holes()
    batch = replace(
        whole,
        features={"x": whole.features["x"][:, :steps]},
        mask={"x": whole.mask["x"][:, :steps]},
        observed={"x": whole.observed["x"][:, :steps]},
        present={"x": torch.ones(len(whole), dtype=torch.bool)},
    )
    train, test = batch.take(slice(0, 60)), batch.take(slice(60, None))
    torch.manual_seed(0)
    network = ERM(ERMParams(width=8, layers=1), spec(partly, steps))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(12):
        optimizer.zero_grad()
        task_loss(network(train).prediction, train.target, network.spec).backward()
        optimizer.step()
    linear = Logistic(Logistic.Params(), spec(partly, steps))
    linear.learned.replace(linear.fit(train, 0.1, seed=0))
    enough = 0.8 if steps == 1 else 0.9  # four entries tell less than 48
    for method in (network.eval(), linear):
        with torch.no_grad():
            right = float((method(test).prediction.argmax(1) == test.target).float().mean())
        assert right > enough if partly else right < 0.7, type(method).__name__


def test_statistics_are_those_of_numpy() -> None:
    draw = np.random.default_rng(0)
    values = draw.normal(size=(6, 9, 5)).astype(np.float32)
    observed = draw.random(values.shape) < 0.4
    observed[2], observed[:, :, 3] = False, False
    with_nan = np.where(observed, values, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of nothing
        expected = [
            np.nanmean(with_nan, 1),
            np.nanstd(with_nan, 1),
            np.nanmin(with_nan, 1),
            np.nanmax(with_nan, 1),
        ]
    last = np.full((6, 5), np.nan)
    for row, feature in np.argwhere(observed.any(axis=1)):
        last[row, feature] = with_nan[row, np.flatnonzero(observed[row, :, feature])[-1], feature]
    reference = np.nan_to_num(np.concatenate([*expected, last], axis=1))
    for junk in (0.0, 7.0, np.nan):
        given = torch.from_numpy(np.where(observed, values, np.float32(junk)))
        found = observed_statistics(given, torch.from_numpy(observed), floor=0.0)
        np.testing.assert_allclose(found.numpy(), reference, atol=1e-5)
    valid = torch.ones(6, 9, dtype=torch.bool)
    share = observed_share(torch.from_numpy(observed), valid)
    np.testing.assert_allclose(share.numpy(), observed.mean(axis=1), atol=1e-6)


def test_where_all_is_observed_statistics_are_what_they_were() -> None:
    values, valid = torch.randn(5, 8, 3), torch.arange(8) < torch.tensor([8, 1, 5, 0, 3])[:, None]
    values = values * valid.unsqueeze(-1)
    everything = valid.unsqueeze(-1).expand_as(values)
    torch.testing.assert_close(observed_statistics(values, everything), statistics(values, valid))


def test_the_summary_has_the_columns_that_the_spec_asks_for() -> None:
    batch = told_by_holes(20)
    clean = replace(batch, observed={})
    plain, partly = summary(clean), summary(clean, ("x",))
    assert plain.shape[1] == 5 * WIDTH + 2 and partly.shape[1] == 6 * WIDTH + 2  # noqa: PT018
    assert summary(batch).shape == plain.shape
    assert summary(batch, ("x",)).shape == partly.shape
    share = partly[:, 5 * WIDTH : 6 * WIDTH]
    assert bool((share == clean.present["x"].unsqueeze(1)).all())


@pytest.mark.parametrize("steps", [0, 1, STEPS])
def test_garbage_where_nothing_was_observed_is_not_read(steps: int) -> None:
    """Not by any kind of encoder, and no gradient reaches it."""
    torch.manual_seed(0)
    batch = told_by_holes(10)
    batch = replace(batch, features={"x": torch.randn(10, STEPS, WIDTH).where(batch.observed["x"], 0)})
    encoder = encoders(spec(partly=True, steps=steps), width=8, layers=1).eval()
    expected = encoder.encode("x", batch)
    for junk in (7.0, torch.nan):
        features = batch.features["x"].where(batch.observed["x"], junk).requires_grad_()
        dirty = replace(batch, features={"x": features})
        for found in (encoder.encode("x", dirty), encoder.together(dirty)["x"]):
            torch.testing.assert_close(found, expected)
        expected.detach()
        (slope,) = torch.autograd.grad(encoder.encode("x", dirty).square().sum(), features)
        assert not slope[~batch.observed["x"]].any()
        assert slope[batch.observed["x"]].any()


def test_an_encoder_of_what_is_wholly_observed_is_the_one_that_it_was() -> None:
    """Other modalities keep their weights and their numbers, whatever is said of one."""
    two = Spec({"x": WIDTH, "y": 3}, "regression", steps={"x": STEPS, "y": STEPS})
    torch.manual_seed(0)
    plain = encoders(two, width=8)
    torch.manual_seed(0)
    partly = encoders(replace(two, partly_observed=("y",)), width=8)
    for name, value in plain.parts[0].state_dict().items():
        assert torch.equal(value, partly.parts[0].state_dict()[name])
    assert [part.partly_observed for part in partly.parts] == [False, True]
    wide = SeriesEncoder(2 * 40, 8, STEPS, partly_observed=True)
    assert wide.eval()(torch.randn(2, STEPS, 80), torch.ones(2, STEPS, dtype=torch.bool)).shape == (2, 8)


def test_other_networks_read_it_too() -> None:
    batch = told_by_holes(12)
    torch.manual_seed(0)
    method = EBMC(replace(EBMC.Params(), layers=1), spec(partly=True)).eval()
    with torch.no_grad():
        other = batch.with_observed({"x": batch.observed["x"].flip(0)})
        assert not torch.allclose(method(batch).prediction, method(other).prediction)


def test_a_method_draws_numbers_of_its_samples() -> None:
    """A sample has the same numbers in any batch and order, on every call, and other ones under another name and seed."""
    batch = told_by_holes(50)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(2))
    drawn = batch.stream(3, "mine").normal("noise", 4, 2)
    assert drawn.shape == (50, 4, 2)
    assert torch.equal(batch.take(order).stream(3, "mine").normal("noise", 4, 2), drawn[order])
    assert torch.equal(batch.take(slice(7, 8)).stream(3, "mine").normal("noise", 4, 2), drawn[7:8])
    for seed, name in ((4, "mine"), (3, "other")):
        assert not torch.equal(batch.stream(seed, name).normal("noise", 4, 2), drawn)
    chosen = batch.stream(3, "mine").integers("donor", 10)
    assert chosen.shape == (50,) and int(chosen.max()) < 10  # noqa: PT018
