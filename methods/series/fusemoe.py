"""FuseMoE: irregular series at common points in time, fused by a sparse mixture of experts (Han et al., NeurIPS 2024)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import task_loss
from ..method import Output, fixed, searched
from ..shared.attention import attend
from ..shared.dropout import dropout
from ..shared.experts import Routed, SparseExperts
from ..shared.networks import SharedNetworkParams, as_prediction, available
from ..shared.time_attention import TimeAttention
from ..shared.timed_series import Series, TimedEncoder, WithTimedEncoders


@dataclass(frozen=True)
class FuseMoEParams(SharedNetworkParams):
    """The grid of points, the blocks over it, the experts, and the controls.

    ``points`` lie evenly over the time of the training data; ``embedding`` says how a series is told at them: by attention over
    the times of observations, by the latest value before each, or by a learned mix of both. ``route`` says what experts
    read: the mean of each modality over the points, or all of them (``grid``: published).
    """

    points: int = fixed(24, least=1, source="ours; release: 48 hours")
    time_heads: int = fixed(1, least=1, most="time_width", source="ours; release: 8")
    time_width: int = fixed(32, least=1, source="ours; release: 64, divided among the heads")
    embedding: Literal["both", "attention", "latest"] = fixed("both", source="release, for series")
    times: Literal["stated", "steps"] = fixed("stated", source="Han et al. 2024")
    blocks: int = fixed(2, least=1, source="ours; release: 3")
    heads: int = fixed(4, least=1, source="ours; release: 8")
    experts: int = fixed(8, least=1, source="ours; release: 16, in an older script 3")
    top: int = fixed(2, least=1, most="experts", source="release")
    hidden: int = fixed(64, least=1, source="ours; release: 512")
    gate: Literal["laplace", "gaussian", "softmax", "constant"] = fixed("laplace", source="Han et al. 2024")
    combine: Literal["sum", "log"] = fixed("sum", source="ours; release: log")
    route: Literal["pooled", "grid"] = fixed("pooled", source="ours; release: grid")
    balance: float = fixed(0.01, source="release")
    dropout: float = searched(0.1, low=0.0, high=0.5, digits=2, least=0, below=1, source="release")


class GridEncoder(TimeAttention):
    """A series at the points: g a + (1 - g) l, with a by attention over times and l by the latest value of each channel.

    l at a point is a linear function, without a bias, of the latest observed values and of which channels were observed since
    the point before. g is one number a sample, from the largest a and l over the points.
    """

    def __init__(self, features: int, width: int, params: FuseMoEParams) -> None:
        """Builds the network.

        Args:
            features: of a step.
            width: of what is said at a point.
            params: its sizes.
        """
        super().__init__(features, width, params.points, params.time_heads, params.time_width)
        self.embedding, self.rate = params.embedding, params.dropout
        self.latest = nn.Linear(2 * features, width, bias=False)
        self.weigh = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, series: Series) -> Tensor:
        """[batch, points * width]."""
        if self.embedding == "attention":
            return self.at_points(series).flatten(1)
        latest = self.latest(self.latest_at_points(series))
        if self.embedding == "latest":
            return latest.flatten(1)
        attended = self.at_points(series)
        largest = torch.cat([attended.amax(dim=1), latest.amax(dim=1)], dim=-1)
        share = self.weigh(dropout(largest, self.rate, self.training)).sigmoid().unsqueeze(-1)
        return (share * attended + (1 - share) * latest).flatten(1)

    def latest_at_points(self, series: Series) -> Tensor:
        """[batch, point, 2 * feature]: the latest value of each channel, 0 before the first, and whether it was observed
        since the point before."""
        dtype = self.latest.weight.dtype
        moments = self.reference.view(1, -1, 1) * self.unit
        # A point that falls on a step, but for rounding, has seen it.
        reached = series.times.unsqueeze(1) <= moments + 1e-5 * self.unit
        steps = torch.arange(series.times.shape[1], device=series.times.device)
        step = steps.where(reached & series.valid.unsqueeze(1), -1).amax(dim=2, keepdim=True)
        place = step.clamp(min=0).expand(-1, -1, series.values.shape[2])
        values = series.last_values().gather(1, place).where(step >= 0, 0)
        seen = series.observed.cumsum(dim=1).gather(1, place).where(step >= 0, 0)
        before = F.pad(seen, (0, 0, 1, 0))[:, :-1]
        return torch.cat([values.to(dtype), (seen > before).to(dtype)], dim=-1)


class Block(nn.Module):
    """x + attention(norm x) in each modality, x + experts(norm x) over all of them, x + feed-forward(norm x) in each."""

    def __init__(self, modalities: int, width: int, params: FuseMoEParams) -> None:
        """Builds the block.

        Args:
            modalities: how many.
            width: of what is said at a point.
            params: its sizes.
        """
        super().__init__()
        self.rate, self.heads, self.grid = (
            params.dropout,
            math.gcd(params.heads, width),
            params.route == "grid",
        )
        inputs = modalities * width * (params.points if self.grid else 1)

        def each(read: int, said: int) -> nn.ModuleList:
            return nn.ModuleList(nn.Linear(read, said) for _ in range(modalities))

        self.norms = nn.ModuleList(
            nn.ModuleList(nn.LayerNorm(width) for _ in range(modalities)) for _ in range(3)
        )
        self.asks, self.answers = each(width, 3 * width), each(width, width)
        self.experts = SparseExperts(
            inputs, params.hidden, params.experts, params.top, params.gate, params.combine, params.dropout
        )
        self.inner, self.outer = each(width, 4 * width), each(4 * width, width)

    def forward(self, said: Tensor) -> tuple[Tensor, Routed]:
        """[batch, modality, point, width] -> the same, and how samples were routed."""
        said = self._added(said, self._by_modality(0, said, self._attention))
        routed = self.experts(self._read(self._by_modality(1, said, lambda _, values: values)))
        shape = said.shape if self.grid else (*said.shape[:2], 1, said.shape[3])
        said = self._added(said, routed.said.view(shape).expand_as(said))
        return self._added(said, self._by_modality(2, said, self._feed_forward)), routed

    def _read(self, normed: Tensor) -> Tensor:
        """What the experts read, [batch, inputs]."""
        return (normed if self.grid else normed.mean(dim=2)).flatten(1)

    def _added(self, said: Tensor, more: Tensor) -> Tensor:
        return said + dropout(more, self.rate, self.training)

    def _by_modality(self, place: int, said: Tensor, function: Callable[[int, Tensor], Tensor]) -> Tensor:
        parts = zip(self.norms[place], said.unbind(1), strict=True)  # type: ignore[arg-type]
        return torch.stack([function(i, norm(values)) for i, (norm, values) in enumerate(parts)], dim=1)

    def _attention(self, i: int, normed: Tensor) -> Tensor:
        asked = attend(None, self.asks[i](normed), None, self.heads, self.rate, self.training)
        return self.answers[i](asked)

    def _feed_forward(self, i: int, normed: Tensor) -> Tensor:
        return self.outer[i](dropout(F.relu(self.inner[i](normed)), self.rate, self.training))


class FuseMoE(WithTimedEncoders):
    """Every modality is told at common points in time; blocks of attention and sparse experts read all of them.

    Nothing is imputed: of a modality that is absent all points are zeros, and so the gate can tell. The head reads
    what is said at the last point of each modality.
    """

    Params = FuseMoEParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    as_published: ClassVar[Mapping[str, Any]] = {
        "width": 128, "points": 48, "time_heads": 8, "time_width": 64, "blocks": 3, "heads": 8, "experts": 16,
        "hidden": 512, "combine": "log",
    }  # fmt: skip
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "experts read the mean of each modality over the points, not all points: those of the release have 0.9 G parameters "
            "for three modalities (`route=grid`), and read other samples of the batch in their place; noise on the gate "
            "in training alone; the latest values stand beside attention in every modality, not in the series alone; one time "
            "embedding a head and modality; mmbench's fusion head; waveforms keep mmbench's encoder, whose embedding stands "
            "at every point; embeddings are not multiplied by the root of their width; its optimiser (Adam, rate 4e-4, batches of "
            "32 in parts of 2, a lower rate for text) is not taken over. On planted data times are worth much (mean errors of three "
            "seeds 0.27 with them, 0.66 without), sparse experts nothing (0.27 with one expert; where each of six groups of "
            "samples has a map of its own 0.34, and 0.31 with one): docs/methods.md has the figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "one expert": {"experts": 1, "top": 1},
        "all experts alike": {"gate": "constant"},
        "softmax gate": {"gate": "softmax"},
        "latest values alone": {"embedding": "latest"},
        "attention alone": {"embedding": "attention"},
        "without times": {"times": "steps"},
    }
    params: FuseMoEParams

    def __init__(self, params: FuseMoEParams, spec: Spec) -> None:
        def make(features: int, width: int) -> TimedEncoder:
            return GridEncoder(features, width, params)

        super().__init__(params, spec, make)
        self.points = params.points
        names = tuple(spec.modalities)
        self.kind = nn.Parameter(0.02 * torch.randn(len(names), 1, self.width))
        self.place = nn.Parameter(0.02 * torch.randn(params.points, self.width))
        self.blocks = nn.ModuleList(Block(len(names), self.width, params) for _ in range(params.blocks))
        self.last = nn.ModuleList(nn.LayerNorm(self.width) for _ in names)

    def encode(self, modality: str, batch: Batch) -> Tensor:
        """What is said of one modality at all points, [batch, points * width]."""
        said = super().encode(modality, batch)
        part = self.encoders.parts[self.encoders.names.index(modality)]
        return said if isinstance(part, GridEncoder) else said.repeat(1, self.points)

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Fuses what is said of the modalities that are present, and predicts."""
        output, _ = self.fused(embeddings, batch)
        return output

    def fused(self, embeddings: Mapping[str, Tensor], batch: Batch) -> tuple[Output, list[Routed]]:
        """The output, and how each block routed the samples.

        Args:
            embeddings: name of a modality -> [batch, points * width].
            batch: the same samples.
        """
        names = tuple(self.spec.modalities)
        there = torch.stack([available(batch, name) for name in names], dim=1)
        stacked = torch.stack([embeddings[name] for name in names], dim=1).unflatten(-1, (self.points, -1))
        own = stacked.where(there[:, :, None, None], 0)
        said = (stacked + self.kind).where(there[:, :, None, None], 0) + self.place
        routes = []
        for block in self.blocks:
            said, routed = block(said)
            routes.append(routed)
        last = [norm(said[:, i, -1]) for i, norm in enumerate(self.last)]
        joined = torch.cat(last, dim=-1)
        gates = routes[-1].gates
        output = Output(
            as_prediction(self.head(joined), self.spec),
            embeddings=dict(zip(names, own.mean(dim=2).unbind(1), strict=True)),
            fused=joined,
            diagnostics={"experts_used": 1 / gates.square().sum(dim=1)},
        )
        return output, routes

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and that of experts which are used unevenly."""
        output, routes = self.fused(self.encode_all(batch), batch)
        uneven = torch.stack([routed.balance for routed in routes]).sum()
        return {
            "task": task_loss(output.prediction, batch.target, self.spec),
            "balance": self.params.balance * uneven,
        }
