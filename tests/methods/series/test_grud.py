"""GRU-D: a step by hand, what is never read, and what its decay is worth where time tells the target."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmbench.datasets.batch import Batch
from mmbench.methods.series.grud import GRUD, GRUDEncoder, GRUDParams
from mmbench.methods.shared.timed_series import Series

from .. import planted
from . import irregular


def build(**params) -> GRUD:
    return GRUD(GRUDParams(hidden=8, width=8, **params), irregular.SPEC).eval()


def series(batch: Batch) -> Series:
    return Series.of(batch, "x")


# --- times and last values, by a loop ---------------------------------------------------------------------


def test_the_time_since_and_the_value_of_the_latest_observation_are_those_of_a_loop():
    batch = irregular.ragged()
    found = series(batch)
    values, observed = batch.features["x"].numpy(), batch.observed["x"].numpy()
    mask, times = batch.mask["x"].numpy(), batch.time["x"].numpy()
    for row, feature in np.ndindex(len(batch), 2):
        start = latest = times[row, mask[row].argmax()]
        value = 0.0
        for step in np.flatnonzero(mask[row]):
            assert found.since_last()[row, step, feature] == pytest.approx(
                times[row, step] - latest, abs=0.01
            )
            if observed[row, step, feature]:
                latest, value = times[row, step], values[row, step, feature]
            assert found.last_values()[row, step, feature] == pytest.approx(value)
        assert found.times[row].max() == pytest.approx(times[row].max() - start, abs=0.01)
    assert not found.since_last()[~batch.mask["x"]].any()


# --- one step by hand -------------------------------------------------------------------------------------


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_two_steps_are_those_of_the_paper():
    """In numpy, from the equations (3) to (6) and (11) to (16), written with a matrix for each term."""
    torch.manual_seed(0)
    encoder = GRUDEncoder(2, 4, 3, 0.0, "both").double()
    encoder.unit.fill_(irregular.HOUR)
    torch.nn.init.normal_(encoder.state_rate.bias)  # some below 0: max(0, .) acts
    w = {name: p.detach().numpy() for name, p in encoder.named_parameters()}
    x = np.array([[0.5, -1.0], [0.0, 2.0]])
    m = np.array([[1.0, 1.0], [0.0, 1.0]])
    since = np.array([[0.0, 0.0], [1.5, 1.5]])
    w_r, w_z, w_h = np.split(w["read.weight"][:, :2], 3)
    v_r, v_z, v_h = np.split(w["read.weight"][:, 2:], 3)
    b_r, b_z, b_h = np.split(w["read.bias"], 3)
    u_r, u_z = np.split(w["gates.weight"], 2)
    h, last = np.zeros(3), np.zeros(2)
    for step in range(2):
        last = m[step] * x[step] + (1 - m[step]) * last
        gamma_x = np.exp(-np.maximum(0, w["input_rate"] * since[step] + w["input_bias"]))
        gamma_h = np.exp(-np.maximum(0, w["state_rate.weight"] @ since[step] + w["state_rate.bias"]))
        seen = m[step] * x[step] + (1 - m[step]) * (gamma_x * last + (1 - gamma_x) * 0.0)
        h = gamma_h * h
        r = sigmoid(w_r @ seen + u_r @ h + v_r @ m[step] + b_r)
        z = sigmoid(w_z @ seen + u_z @ h + v_z @ m[step] + b_z)
        new = np.tanh(w_h @ seen + w["candidate.weight"] @ (r * h) + v_h @ m[step] + b_h)
        h = (1 - z) * h + z * new
    times = torch.tensor([[7.0, 8.5]]) * irregular.HOUR
    batch = irregular.batch_of(torch.tensor(x)[None], torch.tensor(m)[None] > 0, times, torch.zeros(1))
    np.testing.assert_allclose(encoder.state(series(batch))[0].detach().numpy(), h, atol=1e-7)


# --- what is read -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", ["both", "none"])
def test_padding_and_unobserved_entries_are_not_read(decay: str):
    method, batch = build(decay=decay), irregular.ragged()
    irregular.assert_unread(method, batch)
    irregular.assert_padding_changes_nothing(method, batch)


def test_times_are_read_where_something_fades_and_are_told_from_the_first_step():
    batch = irregular.ragged()
    later = replace(batch, time={"x": (batch.time["x"] + 500).where(batch.mask["x"], 0)})
    slower = replace(batch, time={"x": 2 * batch.time["x"]})
    for params in ({}, {"decay": "input"}, {"decay": "hidden"}):
        method = build(**params)
        method.encoders.parts[0].get_buffer("unit").fill_(irregular.HOUR)
        said = method(batch).prediction
        torch.testing.assert_close(method(later).prediction, said)
        assert not torch.allclose(method(slower).prediction, said)
    for params in ({"decay": "none"}, {"times": "steps"}):
        method = build(**params)
        torch.testing.assert_close(method(slower).prediction, method(batch).prediction)


def test_the_unit_makes_seconds_and_hours_alike_and_is_stored():
    batch = irregular.ragged(24)
    in_hours = replace(batch, time={"x": batch.time["x"] / irregular.HOUR})
    one, other = build(), build()
    other.load_state_dict(one.state_dict())
    one.before_epoch(lambda: iter((batch.take(slice(0, 9)), batch.take(slice(9, None)))), 0.0)
    other.before_epoch(lambda: iter((in_hours,)), 0.0)
    torch.testing.assert_close(one(batch).prediction, other(in_hours).prediction, rtol=1e-4, atol=1e-5)
    since, valid = series(batch).since_last(), batch.mask["x"]
    mean = since.sum() / (2 * (valid.sum() - len(batch)))
    torch.testing.assert_close(one.state_dict()["encoders.parts.0.unit"], mean)
    one.before_epoch(lambda: iter((in_hours,)), 0.5)
    torch.testing.assert_close(one.encoders.parts[0].unit, mean)


def test_data_that_are_observed_throughout_and_have_no_times_are_read():
    spec = planted.spec("text", "audio")
    train, test = (planted.linked(spec, count, seed) for count, seed in ((256, 1), (128, 2)))
    torch.manual_seed(0)
    method = planted.train(GRUD(GRUDParams(hidden=16, width=8, dropout=0.0), spec), train, 12, lr=1e-2)
    assert irregular.error(method, test) < 0.5 * float((test.target - train.target.mean()).abs().mean())


# --- what the decay is worth ------------------------------------------------------------------------------


def fading(count: int, seed: int) -> Batch:
    """A dose at the first step, measured once; y is what is left of it at the last step, dose exp(-hours since).

    The other channel is noise and observed throughout. All samples have the same holes and the same number of steps, so
    that times alone tell how much is left.
    """
    draw = torch.Generator().manual_seed(seed)
    values = torch.randn(count, 3, 2, generator=draw)
    dose = (1 + torch.rand(count, generator=draw)) * (torch.randint(0, 2, (count,), generator=draw) * 2 - 1)
    values[:, 0, 0] = dose
    observed = torch.ones(count, 3, 2, dtype=torch.bool)
    observed[:, 1:, 0] = False
    hours = (3 * torch.rand(count, 3, generator=draw)).sort(dim=1).values
    hours[:, 0] = 0
    return irregular.batch_of(values, observed, hours * irregular.HOUR, dose * torch.exp(-hours[:, 2]))


@functools.cache
def trained(**params) -> GRUD:
    torch.manual_seed(0)
    method = GRUD(GRUDParams(hidden=16, width=8, dropout=0.0, **params), irregular.SPEC)
    planted.train(method, fading(512, 1), epochs=16, lr=1e-2)
    return method


def test_what_time_tells_is_learned_with_decay_and_not_without():
    test = fading(512, 2)
    whole = irregular.error(trained(), test)
    assert whole < 0.5 * irregular.error(trained(decay="none"), test)
    assert whole < 0.5 * irregular.error(trained(times="steps"), test)


def test_other_samples_times_are_worse_than_none():
    test = irregular.shuffled_times(fading(512, 2))
    assert irregular.error(trained(), test) > irregular.error(trained(decay="none"), test)


@pytest.mark.parametrize("decay", ["input", "hidden"])
def test_either_decay_alone_learns_it(decay: str):
    test = fading(512, 2)
    assert irregular.error(trained(decay=decay), test) < 0.6 * irregular.error(trained(decay="none"), test)
