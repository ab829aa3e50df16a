"""EF-LSTM: one LSTM over the steps of all modalities side by side (a baseline of MMSA)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..losses import task_loss
from ..method import Method, Output, fixed, searched
from ..shared.batch_norm import BatchNorm
from ..shared.equal_steps import step_encoders
from ..shared.networks import (
    SharedNetworkParams,
    as_prediction,
    known_modalities,
    outputs,
)


@dataclass(frozen=True)
class EFLSTMParams(SharedNetworkParams):
    """Sizes."""

    steps: int = fixed(
        20, least=1, source="ours: steps of every sequence; MMSA, MOSI: the 50 of its aligned data"
    )
    hidden: int = fixed(32, least=1, source="ours; MMSA, MOSI: 128")
    lstm_layers: int = fixed(1, least=1, source="ours; MMSA, MOSI: 4")
    dropout: float = searched(
        0.2,
        low=0.0,
        high=0.5,
        digits=1,
        least=0,
        below=1,
        source="MMSA, SIMSv2; MOSI: 0.5; range: its four data sets",
    )
    order: bool = fixed(True, source="control: false gives the LSTM the mean over steps at every step")


class EFLSTM(Method):
    """Steps side by side, batch norm of each step, LSTM, and a hidden layer on its last state.

    Each modality's valid steps are brought to the same number by means over equal shares of them. An absent modality is zeros.
    """

    Params = EFLSTMParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    as_published: ClassVar[Mapping[str, Any]] = {"steps": 50, "hidden": 128, "lstm_layers": 4, "dropout": 0.5}
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mosei": {"hidden": 256, "lstm_layers": 2, "dropout": 0.4},
        "sims": {"steps": 39, "hidden": 32, "lstm_layers": 3},
        "simsv2": {"steps": 39, "lstm_layers": 3, "dropout": 0.2},
    }
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "epochs": 100,
            "patience": 8,
            "batch_size": 32,
            "learning_rate": 0.001,
            "weight_decay": 0.005,
            "clip_norm": 0.0,
        },
        "mosei": {"batch_size": 128, "learning_rate": 0.005, "weight_decay": 0.0001},
        "sims": {"batch_size": 128, "learning_rate": 0.0005, "weight_decay": 0.001},
        "simsv2": {"learning_rate": 0.0005, "weight_decay": 0.0},
    }
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "after MMSA's code; the valid steps of each modality are brought to one number by means over equal shares, where MMSA reads "
            "aligned data with their padding; the settings of MOSI hold for any other data set than MOSEI, SIMS and SIMSv2, and at most "
            "100 epochs, where MMSA knows no maximum; waveforms are an embedding of mmbench's encoder at every step"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {"without order": {"order": False}}
    params: EFLSTMParams

    def __init__(self, params: EFLSTMParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        self.encoders = step_encoders(spec, params)
        read = sum(self.encoders.sizes.values())
        dropout = params.dropout if params.lstm_layers > 1 else 0.0
        self.norm = BatchNorm(params.steps)
        self.lstm = nn.LSTM(read, params.hidden, params.lstm_layers, batch_first=True, dropout=dropout)
        self.hidden = nn.Linear(params.hidden, params.hidden)
        self.dropout = nn.Dropout(params.dropout)
        self.out = nn.Linear(params.hidden, outputs(spec))

    def sequence(self, modality: str, batch: Batch) -> Tensor:
        """[batch, steps, feature] of one modality; 0 where it is absent."""
        return self.encoders.steps(modality, batch, self.params.steps, self.out.weight.dtype)

    def forward(self, batch: Batch) -> Output:
        """Predicts."""
        side_by_side = torch.cat([self.sequence(name, batch) for name in self.names], dim=-1)
        if not self.params.order:
            side_by_side = side_by_side.mean(dim=1, keepdim=True).expand_as(side_by_side)
        there = known_modalities(batch, self.names).any(dim=1)
        normed = torch.zeros_like(side_by_side)
        if bool(there.any()):  # samples without any modality say nothing of the batch
            normed = normed.masked_scatter(
                there[:, None, None].expand_as(normed), self.norm(side_by_side[there]).to(normed.dtype)
            )
        fused = self.hidden(self.lstm(normed)[0][:, -1]).relu()
        return Output(as_prediction(self.out(self.dropout(fused)), self.spec), fused=fused)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss."""
        return {"task": task_loss(self(batch).prediction, batch.target, self.spec)}
