"""FuseMoE: points in time, what is never read, the published size, and what its parts are worth on planted data."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest
import torch
from mmbench.datasets.batch import Spec
from mmbench.methods.series.fusemoe import Block, FuseMoE, FuseMoEParams, GridEncoder
from mmbench.methods.shared.timed_series import Series

from .. import planted
from . import irregular

SMALL: dict[str, Any] = {
    "points": 4,
    "time_width": 8,
    "width": 8,
    "blocks": 1,
    "heads": 2,
    "hidden": 8,
    "experts": 4,
}


def build(spec: Spec = irregular.SPEC, **params) -> FuseMoE:
    torch.manual_seed(0)
    return FuseMoE(FuseMoEParams(**{**SMALL, **params}), spec).eval()


# --- points in time ---------------------------------------------------------------------------------------


def test_the_latest_values_at_a_point_are_those_of_a_loop() -> None:
    encoder = GridEncoder(2, 8, FuseMoEParams(**SMALL))
    encoder.unit.fill_(9 * irregular.HOUR)
    batch = irregular.ragged(20)
    series = Series.of(batch, "x")
    found = encoder.latest_at_points(series)
    for row in range(20):
        for channel in range(2):
            before = -1.0
            for point, moment in enumerate((0.0, 3.0, 6.0, 9.0)):
                value, fresh = 0.0, False
                for step in range(6):
                    at = float(series.times[row, step]) / irregular.HOUR
                    if batch.observed["x"][row, step, channel] and at <= moment + 1e-5:
                        value = float(batch.features["x"][row, step, channel])
                        fresh = fresh or at > before + 1e-5
                assert float(found[row, point, channel]) == pytest.approx(value)
                assert bool(found[row, point, 2 + channel]) == fresh, (row, channel, point)
                before = moment


@pytest.mark.parametrize("embedding", ["both", "attention", "latest"])
def test_padding_and_unobserved_entries_are_not_read(embedding: str) -> None:
    method, batch = build(embedding=embedding), irregular.ragged()
    irregular.assert_unread(method, batch)
    irregular.assert_padding_changes_nothing(method, batch)


def test_an_absent_modality_is_not_read_and_says_so() -> None:
    spec = planted.spec("text", "audio")
    method, batch = build(spec), planted.noise(spec, 6)
    gone = batch.with_present({"audio": torch.zeros(6, dtype=torch.bool)})
    dirty = replace(gone, features={**gone.features, "audio": gone.features["audio"] * 0 + torch.nan})
    torch.testing.assert_close(method(dirty).prediction, method(gone).prediction)
    assert not torch.allclose(method(gone).prediction, method(batch).prediction)


def test_samples_do_not_mix() -> None:
    """The release reshapes [point, batch, width] to [batch, point * width] without a transposition."""
    spec = planted.spec("text", "audio")
    for route in ("pooled", "grid"):
        method, batch = build(spec, route=route), planted.noise(spec, 7)
        together = method(batch).prediction
        alone = torch.cat([method(batch.take(slice(row, row + 1))).prediction for row in range(7)])
        torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


# --- the published size -----------------------------------------------------------------------------------


def test_experts_of_the_release_have_900_million_parameters_for_three_modalities() -> None:
    """16 experts of width 512 in three blocks, on 48 points of 128 values of each: counted, and without memory."""
    published = FuseMoEParams(**{**FuseMoE.as_published, "route": "grid"})
    with torch.device("meta"):
        block = Block(3, 128, published)
    read = 3 * 48 * 128
    expert = 2 * read * 512 + 512 + read
    gate = 2 * read
    assert read == 18_432
    assert sum(p.numel() for p in block.experts.parameters()) == 16 * (expert + gate)
    assert 3 * 16 * expert == 906_878_976


# --- what its parts are worth -----------------------------------------------------------------------------


@functools.cache
def late(**params) -> FuseMoE:
    torch.manual_seed(0)
    sizes = {
        "points": 8,
        "time_width": 16,
        "width": 16,
        "blocks": 1,
        "heads": 2,
        "hidden": 16,
        "dropout": 0.0,
    }
    method = FuseMoE(FuseMoEParams(**sizes, **params), irregular.SPEC)
    planted.train(method, irregular.late(768, 1), epochs=20, lr=1e-2)
    return method


def test_irregular_times_tell_what_the_order_of_steps_does_not() -> None:
    test = irregular.late(512, 2)
    whole = irregular.error(late(), test)
    assert whole < 0.7 * irregular.error(late(times="steps"), test)
    assert irregular.error(late(), irregular.shuffled_times(test)) > 1.5 * whole
