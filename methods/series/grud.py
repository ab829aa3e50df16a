"""GRU-D: a gated recurrent unit in which what was last observed fades (Che et al., Scientific Reports 2018)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Spec
from ..method import fixed, searched
from ..shared.networks import SharedNetworkParams
from ..shared.timed_series import Series, TimedEncoder, WithTimedEncoders

Decay = Literal["both", "input", "hidden", "none"]


@dataclass(frozen=True)
class GRUDParams(SharedNetworkParams):
    """The recurrent unit of each modality, and the size of the shared network.

    ``hidden`` is the width of the state; ``decay`` says what fades: what was last observed, the state, both, or nothing;
    ``times=steps`` takes steps for evenly spaced, whatever times the data state.
    """

    hidden: int = fixed(64, least=1, source="our choice")
    dropout: float = searched(0.3, low=0.0, high=0.5, digits=2, least=0, below=1, source="our choice")
    decay: Literal["both", "input", "hidden", "none"] = fixed(
        "both", source="Che et al. 2018; none: the latest value stays as it is, beside the indicator"
    )
    times: Literal["stated", "steps"] = fixed("stated", source="Che et al. 2018")


class GRUDEncoder(TimedEncoder):
    """GRU-D over the steps of one modality, read after its last valid step.

    With the indicator m of what was observed, the time d since the latest observation before a step (in ``unit``, the
    mean of d over the training data), and the latest observed value x':

        g_x = exp(-max(0, w d + b)), a weight of its own for each feature;  g_h = exp(-max(0, W d + b))
        x^ = m x + (1 - m) (g_x x' + (1 - g_x) mean), where the mean is 0, that of standardised data
        h is replaced by g_h h; then r, z = sigmoid(. x^ + . h + . m), h~ = tanh(. x^ + . (r h) + . m), h = (1 - z) h + z h~
    """

    def __init__(self, features: int, width: int, hidden: int, dropout: float, decay: Decay) -> None:
        """Builds the network.

        Args:
            features: of a step.
            width: of the embedding.
            hidden: width of the state.
            dropout: rate, on the last state.
            decay: what fades with time.
        """
        super().__init__()
        self.decay, self.hidden = decay, hidden
        self.read = nn.Linear(2 * features, 3 * hidden)  # reset, update, candidate: of values and indicator
        self.gates = nn.Linear(hidden, 2 * hidden, bias=False)
        self.candidate = nn.Linear(hidden, hidden, bias=False)
        self.input_rate = nn.Parameter(torch.rand(features))
        self.input_bias = nn.Parameter(torch.zeros(features))
        self.state_rate = nn.Linear(features, hidden)
        # A rate below 0 is no decay and has no gradient: all start above.
        nn.init.uniform_(self.state_rate.weight, 0, 1 / features)
        nn.init.zeros_(self.state_rate.bias)
        self.dropout = nn.Dropout(dropout)
        self.leave = nn.Linear(hidden, width)

    def forward(self, series: Series) -> Tensor:
        """[batch, width]."""
        return self.leave(self.dropout(self.state(series)))

    def state(self, series: Series) -> Tensor:
        """The state after the last valid step, [batch, hidden]; 0 without one."""
        since = (series.since_last() / self.unit).to(self.input_rate.dtype)
        last = series.last_values().to(since.dtype)
        fading = last if self.decay in ("hidden", "none") else last * self.input_decay(since)
        values = series.values.to(since.dtype).where(series.observed, fading)
        inputs = self.read(torch.cat([values, series.observed.to(values.dtype)], dim=-1))
        stays = self.state_decay(since) if self.decay in ("hidden", "both") else None
        state = inputs.new_zeros(len(inputs), self.hidden)
        for step in range(inputs.shape[1]):
            before = state if stays is None else state * stays[:, step]
            after = self.step(inputs[:, step], before)
            state = after.where(series.valid[:, step].unsqueeze(-1), state)
        return state

    def input_decay(self, since: Tensor) -> Tensor:
        """What stays of the latest values after a time; both [batch, time, feature]."""
        return torch.exp(-F.relu(since * self.input_rate + self.input_bias))

    def state_decay(self, since: Tensor) -> Tensor:
        """What stays of the state, [batch, time, hidden], after times [batch, time, feature]."""
        return torch.exp(-F.relu(self.state_rate(since)))

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """The state after a step, [batch, hidden].

        Args:
            inputs: [batch, 3 * hidden], what is read at the step for reset, update and candidate.
            state: [batch, hidden], the state before it, faded.
        """
        reading, new = inputs.split([2 * self.hidden, self.hidden], dim=-1)
        reset, update = torch.sigmoid(reading + self.gates(state)).chunk(2, dim=-1)
        candidate = torch.tanh(new + self.candidate(reset * state))
        return (1 - update) * state + update * candidate

    def measured(self, batches: Iterator[Series]) -> float:
        """The mean time since the latest observation, over the features of all valid steps but the first."""
        total = entries = 0.0
        for series in batches:
            total += float(series.since_last().double().sum())
            later = (series.valid.sum(1) - 1).clamp(min=0).sum()
            entries += float(later) * series.values.shape[2]
        return total / max(entries, 1.0)


class GRUD(WithTimedEncoders):
    """ERM whose modalities are each read by a GRU-D; an absent modality is a zero embedding.

    Data that are observed throughout and state no times are read too: the time since the latest observation is then one
    step everywhere.
    """

    Params = GRUDParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "one GRU-D a modality, and mmbench's fusion head over their last states, in place of one over all variables; "
            "times in the mean time since the latest observation of the training data; rates of decay start above 0; "
            "dropout on the last state alone, no batch norm; waveforms keep mmbench's encoder"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "without decay": {"decay": "none"},
        "decay of inputs alone": {"decay": "input"},
        "decay of the state alone": {"decay": "hidden"},
        "without times": {"times": "steps"},
    }
    params: GRUDParams

    def __init__(self, params: GRUDParams, spec: Spec) -> None:
        def make(features: int, width: int) -> TimedEncoder:
            return GRUDEncoder(features, width, params.hidden, params.dropout, params.decay)

        super().__init__(params, spec, make)
