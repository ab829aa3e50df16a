"""A modality as a series: its values, which of them were observed, and when; and ERM with encoders that read all three."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..erm import ERM
from .networks import SharedNetworkParams, valid_steps


@dataclass(frozen=True)
class Series:
    """One modality of a batch.

    Attributes:
        values: [batch, time, feature], float, 0 at entries that were not observed.
        observed: [batch, time, feature], bool: the entries that are data. Of data that are observed throughout, all
            entries of valid steps.
        valid: [batch, time], bool.
        times: [batch, time], float32: seconds since the first valid step, or the number of steps since it where the data
            state no times; 0 at steps that are not valid.
    """

    values: Tensor
    observed: Tensor
    valid: Tensor
    times: Tensor

    @classmethod
    def of(cls, batch: Batch, modality: str, read_times: bool = True) -> Series:
        """A modality of a batch.

        Args:
            batch: the samples.
            modality: one whose steps are features.
            read_times: whether stated times are read; otherwise steps count as evenly spaced.
        """
        valid, observed = valid_steps(batch, modality), batch.observed_entries(modality)
        stated = batch.time.get(modality) if read_times else None
        steps = torch.arange(valid.shape[1], device=valid.device, dtype=torch.float32)
        moments = steps.expand(valid.shape) if stated is None else stated
        first = valid.to(torch.int8).argmax(dim=1, keepdim=True)  # 0 for a sample without a valid step
        times = (moments - moments.gather(1, first)).where(valid, 0)
        return cls(batch.features[modality].where(observed, 0), observed, valid, times)

    def last_values(self) -> Tensor:
        """[batch, time, feature]: the latest observed value at or before each step; 0 where there is none."""
        steps = torch.arange(self.valid.shape[1], device=self.valid.device).view(1, -1, 1)
        latest = steps.where(self.observed, -1).cummax(dim=1).values
        return self.values.gather(1, latest.clamp(min=0)).where(latest >= 0, 0)

    def since_last(self) -> Tensor:
        """[batch, time, feature], float32: the time since the latest observation before each step.

        Since the first valid step where there is none; 0 at steps that are not valid.
        """
        times = self.times.unsqueeze(-1)
        latest = times.where(self.observed, 0).cummax(dim=1).values  # times count from 0 and never run back
        before = torch.cat([torch.zeros_like(latest[:, :1]), latest[:, :-1]], dim=1)
        return (times - before).where(self.valid.unsqueeze(-1), 0)


class TimedEncoder(nn.Module, ABC):
    """An encoder of a series that reads what was observed and when.

    ``unit`` is a time of the training data by which times are divided, so that weights start in a range that suits
    minutes and years alike. It is part of the state. Until it is measured it is 1.
    """

    unit: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("unit", torch.ones(()))

    @abstractmethod
    def forward(self, series: Series) -> Tensor:
        """[batch, width]; a sample without an observed entry gets what depends on nothing of it."""

    @abstractmethod
    def measured(self, batches: Iterator[Series]) -> float:
        """The unit of time by the training data; 0 where they do not tell it.

        Args:
            batches: all training samples.
        """


class WithTimedEncoders(ERM):
    """ERM in which modalities whose steps are features have another encoder.

    Waveforms, and raw media whose encoder is trained along, keep the shared network's: their steps are not features.
    A subclass gives ``make``; its parameters may say by ``times`` whether times are read.
    """

    def __init__(
        self, params: SharedNetworkParams, spec: Spec, make: Callable[[int, int], TimedEncoder]
    ) -> None:
        """Builds the network.

        Args:
            params: of the method.
            spec: of the task.
            make: the number of features of a step and the width of an embedding -> the encoder of a modality.
        """
        super().__init__(params, spec)
        self.read_times = getattr(params, "times", "stated") == "stated"
        for i, (name, features) in enumerate(spec.modalities.items()):
            if name not in self.encoders.raw:
                self.encoders.parts[i] = make(features, self.width)

    def encode(self, modality: str, batch: Batch) -> Tensor:
        """The embedding [batch, width] of one modality."""
        part = self.encoders.parts[self.encoders.names.index(modality)]
        if not isinstance(part, TimedEncoder):
            return super().encode(modality, batch)
        return part(Series.of(batch, modality, self.read_times))

    @torch.no_grad()
    def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
        """Measures the unit of time of each modality before the first epoch, on undamaged training samples."""
        if done:
            return
        for name, part in zip(self.encoders.names, self.encoders.parts, strict=True):
            if isinstance(part, TimedEncoder):
                unit = part.measured(self._series(batches(), name))
                part.unit.fill_(unit if unit > 0 else 1.0)

    def _series(self, batches: Iterator[Batch], modality: str) -> Iterator[Series]:
        for batch in batches:
            yield Series.of(batch, modality, self.read_times)
