"""mTAND: attention over the times of observations, at reference points (Shukla & Marlin, ICLR 2021)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ...datasets.batch import Spec
from ..method import fixed, searched
from ..shared.networks import SharedNetworkParams
from ..shared.timed_series import Series, TimedEncoder, WithTimedEncoders

#: Scores that lie so far below a reference point's highest count as this far below: e^-60 is a normal float32, so that
#: a channel whose observations all lie there has weights that do not vanish together.
_LOWEST_SCORE = -60.0


@dataclass(frozen=True)
class MTANDParams(SharedNetworkParams):
    """The attention and the recurrent unit of each modality, and the size of the shared network.

    ``points`` are the reference points, evenly spaced over the time of the training data; ``heads`` those of the
    attention, each with a time embedding of ``time_width``; ``hidden`` the width of what is said at a point, and of the
    recurrent unit. ``attention=mean`` weighs all observations alike; ``times=steps`` takes steps for evenly spaced.
    """

    points: int = fixed(32, source="our choice")
    heads: int = fixed(1, source="our choice")
    time_width: int = fixed(32, source="our choice")
    hidden: int = fixed(64, source="our choice")
    dropout: float = searched(0.1, low=0.0, high=0.5, digits=2, source="our choice")
    attention: Literal["time", "mean"] = fixed("time", source="Shukla & Marlin 2021")
    times: Literal["stated", "steps"] = fixed("stated", source="Shukla & Marlin 2021")


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


class MTANDEncoder(TimedEncoder):
    """Multi-time attention at reference points, and a recurrent unit over them, read at the last.

    For each head, a reference point r gives an observation at time t the score (W e(r)) . (V e(t)) / sqrt(width), e
    being the head's time embedding. The softmax is over the steps at which a channel was observed, for each channel of
    its own; the weighted means of all channels and heads, with whether each channel was observed at all, go through a
    linear layer, and then in the order of the points through a GRU. Times are told in ``unit``, the longest series of the
    training data, in which the points lie evenly from 0 to 1.
    """

    reference: Tensor

    def __init__(self, features: int, width: int, params: MTANDParams) -> None:
        """Builds the network.

        Args:
            features: of a step.
            width: of the embedding.
            params: its sizes.
        """
        super().__init__()
        self.by_time, size = params.attention == "time", params.time_width
        self.register_buffer("reference", torch.linspace(0, 1, params.points), persistent=False)
        self.embeddings = nn.ModuleList(TimeEmbedding(size) for _ in range(params.heads))
        self.queries = nn.ModuleList(nn.Linear(size, size) for _ in range(params.heads))
        self.keys = nn.ModuleList(nn.Linear(size, size) for _ in range(params.heads))
        self.mix = nn.Linear((params.heads + 1) * features, params.hidden)
        self.recurrent = nn.GRU(params.hidden, params.hidden, batch_first=True)
        self.dropout = nn.Dropout(params.dropout)
        self.leave = nn.Linear(params.hidden, width)

    def forward(self, series: Series) -> Tensor:
        """[batch, width]."""
        states, _ = self.recurrent(self.at_points(series))
        return self.leave(self.dropout(states[:, -1]))

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


class MTAND(WithTimedEncoders):
    """ERM whose modalities are each read by an mTAND encoder; an absent modality is a zero embedding."""

    Params = MTANDParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "the encoder with a classifier (mTAND-Enc), not the paper's variational autoencoder; one encoder a modality, and "
            "mmbench's fusion head over their last states; per channel whether it was observed at all, in place of an "
            "attention over its indicator; sizes are ours; waveforms keep mmbench's encoder"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "mean of observations": {"attention": "mean"},
        "without times": {"times": "steps"},
    }
    params: MTANDParams

    def __init__(self, params: MTANDParams, spec: Spec) -> None:
        def make(features: int, width: int) -> TimedEncoder:
            return MTANDEncoder(features, width, params)

        super().__init__(params, spec, make)
