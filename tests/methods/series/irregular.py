"""Small irregular series in which it is known what time tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.method import Method
from torch import Tensor

SPEC = Spec({"x": 2}, "regression", label_range=(-3.0, 3.0), steps={"x": 6}, partly_observed=("x",))
HOUR = 3600.0


def batch_of(values: Tensor, observed: Tensor, times: Tensor, target: Tensor) -> Batch:
    """One modality, ``x``.

    Args:
        values: [batch, time, feature].
        observed: the same shape, bool.
        times: [batch, time], seconds.
        target: [batch].
    """
    count, steps, _ = values.shape
    return Batch(
        features={"x": values.where(observed, 0)},
        mask={"x": torch.ones(count, steps, dtype=torch.bool)},
        present={"x": torch.ones(count, dtype=torch.bool)},
        target=target,
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count),
        observed={"x": observed},
        time={"x": times},
    )


def ragged(count: int = 12, steps: int = 6, seed: int = 0) -> Batch:
    """White noise at random times, half of it observed, with padding on either side; the first sample is whole."""
    draw = torch.Generator().manual_seed(seed)
    values = torch.randn(count, steps, 2, generator=draw)
    observed = torch.rand(count, steps, 2, generator=draw) < 0.5
    times = (torch.rand(count, steps, generator=draw) * 10 * HOUR).sort(dim=1).values
    batch = batch_of(values, observed, times, torch.randn(count, generator=draw))
    place = torch.arange(steps)
    first = torch.randint(0, 2, (count, 1), generator=draw)
    last = torch.randint(3, steps, (count, 1), generator=draw)
    mask = (place >= first) & (place <= last)
    mask[0], observed[0] = True, True
    batch = replace(batch, mask={"x": mask}, time={"x": times.where(mask, 0)})
    return batch.with_observed({"x": observed & mask.unsqueeze(-1)})


def assert_unread(method: Method, batch: Batch) -> None:
    """What stands at padding and unobserved entries is read by no prediction and reached by no gradient."""
    method.eval()
    expected = method(batch).prediction.detach()
    for junk in (9.0, torch.nan):
        features = batch.features["x"].where(batch.observed["x"], junk).requires_grad_()
        times = batch.time["x"].where(batch.mask["x"], junk)
        dirty = replace(batch, features={"x": features}, time={"x": times})
        found = method(dirty).prediction
        torch.testing.assert_close(found, expected)
        (slope,) = torch.autograd.grad(found.square().sum(), features)
        assert not slope[~batch.observed["x"]].any()
        assert slope[batch.observed["x"]].any()


def assert_padding_changes_nothing(method: Method, batch: Batch) -> None:
    """Neither its amount nor its side."""
    method.eval()

    def padded(values: Mapping[str, Tensor], before: int, after: int) -> dict[str, Tensor]:
        x = values["x"]
        left, right = (x.new_zeros(len(x), count, *x.shape[2:]) for count in (before, after))
        return {"x": torch.cat([left, x, right], dim=1)}

    expected = method(batch).prediction
    for before, after in ((0, 3), (2, 0)):
        wider = replace(
            batch,
            features=padded(batch.features, before, after),
            mask=padded(batch.mask, before, after),
            observed=padded(batch.observed, before, after),
            time=padded(batch.time, before, after),
        )
        torch.testing.assert_close(method(wider).prediction, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def error(method: Method, batch: Batch) -> float:
    """The mean absolute error."""
    return float((method(batch).prediction - batch.target).abs().mean())


def shuffled_times(batch: Batch) -> Batch:
    """The batch in which every sample has the times of another."""
    return replace(batch, time={"x": batch.time["x"].roll(1, dims=0)})


LATE_STEPS = 10


def late(count: int, seed: int) -> Batch:
    """White noise over ten hours; y is twice the mean of the first channel's observations in the last five.

    Times are the powers 1/3 or 3 of uniform draws, so that which steps these are differs from sample to sample.
    """
    draw = torch.Generator().manual_seed(seed)
    power = torch.where(torch.rand(count, 1, generator=draw) < 0.5, 1 / 3, 3.0)
    share = (torch.rand(count, LATE_STEPS, generator=draw) ** power).sort(dim=1).values
    share[:, 0], share[:, -1] = 0.0, 1.0
    values = torch.randn(count, LATE_STEPS, 2, generator=draw)
    observed = torch.rand(count, LATE_STEPS, 2, generator=draw) < 0.8
    observed[:, -1] = True
    told = observed[..., 0] & (share > 0.5)
    target = 2 * values[..., 0].where(told, 0).sum(1) / told.sum(1)
    return batch_of(values, observed, share * 10 * HOUR, target)
