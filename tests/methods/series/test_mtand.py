"""mTAND: its attention by a softmax for each channel, what is never read, and what times are worth."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from mmbench.methods.series.mtand import MTAND, MTANDEncoder, MTANDParams
from mmbench.methods.shared.time_attention import TimeEmbedding
from mmbench.methods.shared.timed_series import Series

from .. import planted
from . import irregular

SMALL: dict[str, Any] = {"points": 8, "time_width": 8, "hidden": 8, "width": 8}


def build(**params) -> MTAND:
    return MTAND(MTANDParams(**SMALL, **params), irregular.SPEC).eval()


# --- the attention, written out ---------------------------------------------------------------------------


@pytest.mark.parametrize("heads", [1, 2])
def test_what_is_said_at_a_point_is_a_softmax_over_the_observations_of_each_channel(heads: int):
    """In double precision, by loops over samples, points and channels."""
    torch.manual_seed(0)
    encoder = MTANDEncoder(2, 4, MTANDParams(points=3, heads=heads, time_width=6, hidden=5)).double()
    encoder.unit.fill_(10 * irregular.HOUR)
    batch = irregular.ragged(5)
    series = Series.of(batch, "x")
    found = encoder.at_points(series)
    times = series.times.double() / (10 * irregular.HOUR)

    def embedded(head: int, time: torch.Tensor) -> torch.Tensor:
        one = encoder.embeddings[head]
        assert isinstance(one, TimeEmbedding)
        line = one.linear.weight[:, 0] * time + one.linear.bias
        return torch.cat([line, torch.sin(one.periodic.weight[:, 0] * time + one.periodic.bias)])

    for row in range(5):
        for point, moment in enumerate((0.0, 0.5, 1.0)):
            said = []
            for head in range(heads):
                query = encoder.queries[head](embedded(head, torch.tensor(moment, dtype=torch.float64)))
                for channel in range(2):
                    steps = batch.observed["x"][row, :, channel].nonzero().flatten().tolist()
                    keys = [encoder.keys[head](embedded(head, times[row, step])) for step in steps]
                    scores = (
                        torch.stack([query @ key / math.sqrt(6) for key in keys]) if keys else torch.zeros(0)
                    )
                    values = batch.features["x"][row, steps, channel].double()
                    said.append((scores.softmax(0) * values).sum())
            said += [batch.observed["x"][row, :, channel].any().double() for channel in range(2)]
            torch.testing.assert_close(found[row, point], encoder.mix(torch.stack(said)))


def test_a_channel_whose_observations_all_score_low_still_has_its_mean():
    """Scores of another channel 500 higher would leave weights of 0 / 0."""
    scores = torch.tensor([[[500.0, 0.0, 1.0]]])
    values = torch.tensor([[[3.0, 0.0], [0.0, 2.0], [0.0, 4.0]]])
    observed = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]])
    found = MTANDEncoder.means(scores, values, observed)
    torch.testing.assert_close(found, torch.tensor([[[3.0, 3.0]]]))
    assert not MTANDEncoder.means(scores, values * 0, observed * 0).any()


# --- what is read -----------------------------------------------------------------------------------------


def test_padding_and_unobserved_entries_are_not_read():
    method, batch = build(), irregular.ragged()
    method.before_epoch(lambda: iter((batch,)), 0.0)
    irregular.assert_unread(method, batch)
    irregular.assert_padding_changes_nothing(method, batch)


def test_times_are_read_and_their_unit_is_the_longest_series():
    batch = irregular.ragged()
    faster = replace(batch, time={"x": batch.time["x"] / 2})
    method = build()
    method.before_epoch(lambda: iter((faster.take(slice(0, 5)), batch.take(slice(5, None)))), 0.0)
    longest = max(
        float(Series.of(part, "x").times.max())
        for part in (faster.take(slice(0, 5)), batch.take(slice(5, None)))
    )
    assert float(method.state_dict()["encoders.parts.0.unit"]) == pytest.approx(longest)
    assert not torch.allclose(method(faster).prediction, method(batch).prediction)
    for params in ({"attention": "mean"}, {"times": "steps"}):
        method = build(**params)
        torch.testing.assert_close(method(faster).prediction, method(batch).prediction)


# --- what times are worth ---------------------------------------------------------------------------------


@functools.cache
def trained(**params) -> MTAND:
    torch.manual_seed(0)
    sizes = {"points": 8, "time_width": 16, "hidden": 16, "width": 8}
    method = MTAND(MTANDParams(dropout=0.0, **sizes, **params), irregular.SPEC)
    planted.train(method, irregular.late(768, 1), epochs=20, lr=1e-2)
    return method


def test_irregular_times_tell_what_the_order_of_steps_does_not():
    test = irregular.late(512, 2)
    whole = irregular.error(trained(), test)
    assert whole < 0.7 * irregular.error(trained(times="steps"), test)
    assert whole < 0.7 * irregular.error(trained(attention="mean"), test)


def test_the_times_of_other_samples_are_worse():
    test = irregular.late(512, 2)
    assert irregular.error(trained(), irregular.shuffled_times(test)) > 1.5 * irregular.error(trained(), test)


def test_data_that_are_observed_throughout_and_have_no_times_are_read():
    spec = planted.spec("text", "audio")
    train, test = (planted.linked(spec, count, seed) for count, seed in ((256, 1), (128, 2)))
    torch.manual_seed(0)
    method = planted.train(MTAND(MTANDParams(**SMALL, dropout=0.0), spec), train, 12, lr=1e-2)
    assert irregular.error(method, test) < 0.5 * float((test.target - train.target.mean()).abs().mean())
