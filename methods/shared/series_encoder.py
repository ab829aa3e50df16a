"""The network for a modality that is a series: convolutions with strides, and statistics of the whole series."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .batch_norm import BatchNorm, on_known
from .dropout import dropout
from .piecewise import BINS, piecewise_linear
from .statistics import observed_share, observed_statistics, statistics
from .vector_encoder import VectorEncoder, masked_mean_over_steps

CHANNELS = 48
KERNEL = 5
#: Of dropout, and as much on the input.
RATE = 0.1
#: The share of the samples of which the convolutions say nothing in training, so that statistics have to suffice for
#: those: convolutions tell the people or places that they were trained on by more than what is asked of them.
LEFT_OUT = 0.5
#: Strides reduce a series to no fewer steps than this.
_FEWEST = 12


def strides_for(steps: int) -> tuple[int, ...]:
    """The stride of each block: 1, then two of 2 for short series, then as many of 4 as the length asks for.

    Args:
        steps: of the training data.
    """
    further = max(0, math.ceil(math.log(max(steps, 1) / 256, 4)))
    return (1, *(2 if steps >= 2 * _FEWEST else 1, 2 if steps >= 4 * _FEWEST else 1), *[4] * further)


class SeriesEncoder(nn.Module):
    """The sum of what a convolutional network says about a series and a residual one about its statistics.

    The convolutional one: where there are more features than channels, a linear layer; residual blocks of two convolutions, each normalised over channels and valid steps; mean over
    steps; layer norm; linear. The other is a ``VectorEncoder`` of ``statistics``, normalised by those of the training data and
    in bins (``piecewise_linear``), which small and noisy data need: it can split at a value, as the trees of a forest do.

    Neither the amount of padding nor its side matters: what lies at invalid steps is read as zeros, and a series is moved
    so that its first valid step is the first of all.

    Of a series that is partly observed the second half of its features says what of the first was observed. The
    convolutions read both (as GRU-D, Che et al. 2018, and BRITS, Cao et al. 2018, do); the statistics are those of the
    observed entries, with the share of steps at which each feature was observed.
    """

    def __init__(
        self,
        features: int,
        width: int,
        steps: int,
        channels: int = CHANNELS,
        rate: float = RATE,
        partly_observed: bool = False,
    ) -> None:
        """Builds the network.

        Args:
            features: of a step, with those that say what was observed.
            width: of the embedding.
            steps: of the training data, which decide the strides. Series of any other length can be encoded.
            channels: of each block.
            rate: of dropout.
            partly_observed: whether the second half of the features says what of the first was observed.
        """
        super().__init__()
        self.rate = rate
        self.partly_observed = partly_observed
        strides = strides_for(steps)
        self.enter = nn.Linear(features, channels) if features > channels else nn.Identity()
        inputs = [min(features, channels), *[channels] * (len(strides) - 1)]
        self.blocks = nn.ModuleList(
            _Block(count, channels, stride, rate) for count, stride in zip(inputs, strides, strict=True)
        )
        self.norm = nn.LayerNorm(channels)
        self.leave = nn.Linear(channels, width)
        columns = 3 * features if partly_observed else 5 * inputs[0]
        self.scale = BatchNorm(columns, affine=False)
        self.summary = VectorEncoder(BINS * columns, width)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Encodes; a sample without a valid step gets an embedding that depends on nothing of it.

        Args:
            features: [batch, time, feature] of any float type.
            valid: [batch, time], bool.

        Returns:
            [batch, width].
        """
        first = valid.to(torch.int8).argmax(dim=1, keepdim=True)
        steps = torch.arange(valid.shape[1], device=valid.device)
        moved = (steps + first) % valid.shape[1]  # what lies before the first valid step comes last
        valid = valid.gather(1, moved)
        if bool(first.any()):
            features = features.gather(1, moved.unsqueeze(-1).expand_as(features))
        longest = max(int((valid * (steps + 1)).amax()), 1)
        features, valid = features[:, :longest], valid[:, :longest]
        clean = features if bool(valid.all()) else features.where(valid.unsqueeze(-1), 0)
        entered = self.enter(clean.to(self.leave.weight.dtype))
        entered = entered * valid.unsqueeze(-1).to(entered.dtype)
        said = on_known(self.scale, self._statistics(clean, entered, valid), valid.any(dim=1))
        summary = self.summary.encode(piecewise_linear(said))
        values = dropout(entered, self.rate, self.training).transpose(1, 2)
        for block in self.blocks:
            values, valid = block(values, valid)
        mean = masked_mean_over_steps(values.transpose(1, 2), valid)
        series = self.leave(dropout(self.norm(mean), self.rate, self.training))
        if self.training:
            series = series * (torch.rand(len(series), 1, device=series.device) > LEFT_OUT)
        else:
            series = series * (1 - LEFT_OUT)
        return series + summary

    def _statistics(self, clean: Tensor, entered: Tensor, valid: Tensor) -> Tensor:
        """What the residual network reads, [batch, statistics].

        Args:
            clean: features, [batch, time, feature], 0 at invalid steps.
            entered: what the first block reads, [batch, time, channels].
            valid: [batch, time], bool.
        """
        if not self.partly_observed:
            return statistics(entered, valid)
        values, told = clean.to(entered.dtype).chunk(2, dim=-1)
        observed = told > 0
        share = observed_share(observed, valid).to(values.dtype)
        return torch.cat([observed_statistics(values, observed), share], dim=-1)


class _Block(nn.Module):
    """relu(skip(x) + norm(conv(dropout(relu(norm(conv(x)))))))."""

    def __init__(self, inputs: int, channels: int, stride: int, rate: float) -> None:
        super().__init__()
        self.stride, self.rate = stride, rate
        self.first = nn.Conv1d(inputs, channels, KERNEL, stride, KERNEL // 2)
        self.first_norm = _Norm(channels)
        self.second = nn.Conv1d(channels, channels, KERNEL, padding=KERNEL // 2)
        self.second_norm = _Norm(channels)
        same = inputs == channels and stride == 1
        self.skip = nn.Identity() if same else nn.Conv1d(inputs, channels, 1, stride)

    def forward(self, values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, inputs, time] and [batch, time] -> [batch, channels, time / stride] and which of its steps are valid."""
        after = valid[:, :: self.stride]
        there = after.unsqueeze(1).to(values.dtype)
        hidden = F.relu(self.first_norm(self.first(values), there))
        hidden = self.second_norm(self.second(dropout(hidden, self.rate, self.training)), there)
        return F.relu(self.skip(values) + hidden) * there, after


class _Norm(nn.Module):
    """Normalises a sample over channels and valid steps, with a scale and a shift for each channel; zeros elsewhere."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, values: Tensor, there: Tensor) -> Tensor:
        """[batch, channels, time] and [batch, 1, time], 1 at valid steps and 0 elsewhere -> [batch, channels, time]."""
        count = (there.sum(2, keepdim=True) * values.shape[1]).clamp(min=1)
        mean = (values * there).sum((1, 2), keepdim=True) / count
        centred = (values - mean) * there
        deviation = (centred.square().sum((1, 2), keepdim=True) / count + 1e-5).sqrt()
        return (centred / deviation * self.weight + self.bias) * there
