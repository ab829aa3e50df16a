"""Attention over the times of observations, at reference points (Shukla & Marlin, ICLR 2021)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .timed_series import Series, TimedEncoder

#: Scores that lie so far below a reference point's highest count as this far below: e^-60 is a normal float32, so that
#: a channel whose observations all lie there has weights that do not vanish together.
_LOWEST_SCORE = -60.0


class TimeEmbedding(nn.Module):
    """A time as one linear function and sines of learned frequencies and phases: [...] -> [..., width]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1)
        self.periodic = nn.Linear(1, width - 1)

    def forward(self, times: Tensor) -> Tensor:
        """[...] -> [..., width]."""
        times = times.unsqueeze(-1)
        return torch.cat([self.linear(times), self.periodic(times).sin()], dim=-1)


class TimeAttention(TimedEncoder):
    """What is said of a series at each reference point.

    For each head, a reference point r gives an observation at time t the score (W e(r)) . (V e(t)) / sqrt(width), e
    being the head's time embedding. The softmax is over the steps at which a channel was observed, for each channel of
    its own; the weighted means of all channels and heads, with whether each channel was observed at all, go through a
    linear layer. Times are told in ``unit``, the longest series of the training data, in which the points lie evenly from 0
    to 1.
    """

    reference: Tensor

    def __init__(
        self, features: int, hidden: int, points: int, heads: int, time_width: int, by_time: bool = True
    ) -> None:
        """Builds the network.

        Args:
            features: of a step.
            hidden: the width of what is said at a point.
            points: how many.
            heads: of the attention.
            time_width: of the time embedding of a head.
            by_time: whether scores follow times; otherwise all observations count alike.
        """
        super().__init__()
        self.by_time = by_time
        self.register_buffer("reference", torch.linspace(0, 1, points), persistent=False)
        self.embeddings = nn.ModuleList(TimeEmbedding(time_width) for _ in range(heads))
        self.queries = nn.ModuleList(nn.Linear(time_width, time_width) for _ in range(heads))
        self.keys = nn.ModuleList(nn.Linear(time_width, time_width) for _ in range(heads))
        self.mix = nn.Linear((heads + 1) * features, hidden)

    def at_points(self, series: Series) -> Tensor:
        """What is said at each reference point, [batch, point, hidden]."""
        dtype = self.mix.weight.dtype
        observed = series.observed.to(dtype)
        values = series.values.to(dtype)
        means = [self.means(scores, values, observed) for scores in self.scores(series)]
        known = series.observed.any(dim=1, keepdim=True).to(dtype).expand_as(means[0])
        return self.mix(torch.cat([*means, known], dim=-1))

    def scores(self, series: Series) -> Iterator[Tensor]:
        """Of each head, [batch, point, time]: how much a reference point heeds a step."""
        times = (series.times / self.unit).to(self.mix.weight.dtype)
        for embed, query, key in zip(self.embeddings, self.queries, self.keys, strict=True):
            asking, asked = query(embed(self.reference)), key(embed(times))
            scores = asking @ asked.transpose(1, 2) / math.sqrt(asking.shape[1])
            yield scores if self.by_time else torch.zeros_like(scores)

    @staticmethod
    def means(scores: Tensor, values: Tensor, observed: Tensor) -> Tensor:
        """Means of what was observed of each channel, by the softmax of scores over these steps; 0 where there are none.

        The weights of all channels are exp(scores) but for what they are divided by, so that none of them is written out
        as [batch, point, time, feature].

        Args:
            scores: [batch, point, time].
            values: [batch, time, feature], 0 where not observed.
            observed: the same shape, 1 at observed entries and 0 elsewhere.

        Returns:
            [batch, point, feature].
        """
        seen = observed.any(dim=2).unsqueeze(1)
        highest = scores.masked_fill(~seen, -math.inf).amax(dim=2, keepdim=True)
        highest = highest.where(highest.isfinite(), 0).detach()
        weights = (scores - highest).clamp(_LOWEST_SCORE, 0).exp().where(seen, 0)
        total = weights @ observed
        return (weights @ values / total.where(total > 0, 1)).where(total > 0, 0)

    def measured(self, batches: Iterator[Series]) -> float:
        """The longest time from a first valid step."""
        return max((float(series.times.max()) for series in batches), default=0.0)
