"""mTAND: attention over the times of observations, at reference points (Shukla & Marlin, ICLR 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from ...datasets.batch import Spec
from ..method import fixed, searched
from ..shared.networks import SharedNetworkParams
from ..shared.time_attention import TimeAttention
from ..shared.timed_series import Series, TimedEncoder, WithTimedEncoders


@dataclass(frozen=True)
class MTANDParams(SharedNetworkParams):
    """The attention and the recurrent unit of each modality, and the size of the shared network.

    ``points`` are the reference points, evenly spaced over the time of the training data; ``heads`` those of the
    attention, each with a time embedding of ``time_width``; ``hidden`` the width of what is said at a point, and of the
    recurrent unit. ``attention=mean`` weighs all observations alike; ``times=steps`` takes steps for evenly spaced.
    """

    points: int = fixed(32, least=1, source="our choice")
    heads: int = fixed(1, least=1, most="time_width", source="our choice")
    time_width: int = fixed(32, least=1, source="our choice")
    hidden: int = fixed(64, least=1, source="our choice")
    dropout: float = searched(0.1, low=0.0, high=0.5, digits=2, least=0, below=1, source="our choice")
    attention: Literal["time", "mean"] = fixed("time", source="Shukla & Marlin 2021")
    times: Literal["stated", "steps"] = fixed("stated", source="Shukla & Marlin 2021")


class MTANDEncoder(TimeAttention):
    """Multi-time attention at reference points, and a recurrent unit over them, read at the last.

    The weighted means of all channels and heads, with whether each channel was observed at all, go through a linear layer, and
    then in the order of the points through a GRU.
    """

    def __init__(self, features: int, width: int, params: MTANDParams) -> None:
        """Builds the network.

        Args:
            features: of a step.
            width: of the embedding.
            params: its sizes.
        """
        super().__init__(
            features,
            params.hidden,
            params.points,
            params.heads,
            params.time_width,
            params.attention == "time",
        )
        self.recurrent = nn.GRU(params.hidden, params.hidden, batch_first=True)
        self.dropout = nn.Dropout(params.dropout)
        self.leave = nn.Linear(params.hidden, width)

    def forward(self, series: Series) -> Tensor:
        """[batch, width]."""
        states, _ = self.recurrent(self.at_points(series))
        return self.leave(self.dropout(states[:, -1]))


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
