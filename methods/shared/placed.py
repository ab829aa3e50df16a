"""A modality moved to where it is filled, what it is filled with, and how that is put back into a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...datasets.batch import Batch, Spec
from .timed_series import Series


@dataclass(frozen=True)
class Placed:
    """A modality moved so that its first valid step comes first; one that a sample lacks has the steps of a usual sample.

    Attributes:
        series: values, what was observed, valid steps; times in ``unit``.
        lacking: [batch], bool: samples of which nothing was observed.
        back: [batch, time], int64: at which step of ``series`` each step of the batch stands.
    """

    series: Series
    lacking: Tensor
    back: Tensor


def place(batch: Batch, modality: str, length: int, unit: float = 1.0) -> Placed:
    """Moves a modality.

    Args:
        batch: the samples.
        modality: one whose steps are features.
        length: the steps of a usual sample, evenly spaced.
        unit: seconds by which times are divided.
    """
    series = Series.of(batch, modality)
    lacking = ~series.observed.flatten(1).any(dim=1)
    more = length - series.valid.shape[1] if bool(lacking.any()) else 0
    if more > 0:
        series = _padded(series, more)
    steps = torch.arange(series.valid.shape[1], device=lacking.device)
    first = series.valid.to(torch.int8).argmax(dim=1, keepdim=True).where(~lacking.unsqueeze(1), 0)
    forth = (steps + first) % len(steps)
    wide = forth.unsqueeze(-1).expand(series.values.shape)
    usual, gone = steps < length, lacking.unsqueeze(1)
    times = series.times.gather(1, forth) / unit
    moved = Series(
        series.values.gather(1, wide),
        series.observed.gather(1, wide),
        torch.where(gone, usual, series.valid.gather(1, forth)),
        torch.where(gone, steps.float().where(usual, 0), times),
    )
    return Placed(moved, lacking, (steps - first) % len(steps))


@dataclass(frozen=True)
class Fill:
    """What a modality is filled with.

    Attributes:
        values: [batch, time, feature], float32; at observed entries these.
        valid: [batch, time], bool: the steps that are filled.
        times: [batch, time], float32, seconds from the first valid step.
        lacking: [batch], bool: samples that had nothing of the modality, and so have these steps and times.
    """

    values: Tensor
    valid: Tensor
    times: Tensor
    lacking: Tensor

    def take(self, rows: Tensor) -> Fill:
        """Those of the samples at ``rows``, int64 [n]."""
        return Fill(self.values[rows], self.valid[rows], self.times[rows], self.lacking[rows])


def put(batch: Batch, fills: Mapping[str, Fill]) -> Batch:
    """The samples with fills in the place of what was not observed; observed entries stay, with their gradients.

    Args:
        batch: the samples.
        fills: modality -> what it is filled with, of these samples.
    """
    if not fills:
        return batch
    features, mask, present = dict(batch.features), dict(batch.mask), dict(batch.present)
    observed, time = dict(batch.observed), dict(batch.time)
    for name, one in fills.items():
        more = one.valid.shape[1] - batch.mask[name].shape[1]
        known = pad(batch.observed_entries(name), (0, 0, 0, more))
        own = pad(batch.features[name], (0, 0, 0, more))
        features[name] = torch.where(known, own, one.values.to(own.dtype))
        mask[name], present[name] = one.valid, torch.ones_like(present[name])
        observed.pop(name, None)
        if name in time:
            time[name] = torch.where(one.lacking.unsqueeze(1), one.times, pad(time[name], (0, more)))
    return replace(batch, features=features, mask=mask, present=present, observed=observed, time=time)


def completable(spec: Spec) -> tuple[str, ...]:
    """The modalities whose steps are features: not raw media, nor waveforms."""
    raw = {*spec.tuned, *spec.media}
    return tuple(name for name in spec.modalities if name not in raw and spec.encoders.get(name) != "cnn1d")


def _padded(series: Series, more: int) -> Series:
    """The series with more steps that are not valid behind them."""
    return Series(
        pad(series.values, (0, 0, 0, more)),
        pad(series.observed, (0, 0, 0, more)),
        pad(series.valid, (0, more)),
        pad(series.times, (0, more)),
    )
